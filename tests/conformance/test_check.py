"""The checks themselves: each must pass what is right and find what is wrong.

Needs the descriptions: OPENAPI, WEBHOOKS and DISCOVERY in the environment, as `.ci/run` sets them.
"""

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import check
from traffic import Exchange, Webhook, read
from webhooks import NEWER, without

OPENAPI = Path(os.environ["OPENAPI"])
WEBHOOKS = Path(os.environ["WEBHOOKS"])
DISCOVERY = Path(os.environ["DISCOVERY"])

REPO = "/repos/acme/pipelines"
ACCOUNT = "/v1/projects/p1/serviceAccounts/a%40p1.iam.gserviceaccount.com"
DATASET = "/bigquery/v2/projects/p1/datasets/d1"


def exchange(
    system: str,
    call: str,
    request: Any = None,
    status: int = 200,
    response: Any = None,
) -> Exchange:
    method, uri = call.split(" ")
    return Exchange(1, system, method, uri, request, status, response)


class Conformance(unittest.TestCase):
    checker: check.Checker

    @classmethod
    def setUpClass(cls) -> None:
        cls.checker = check.Checker(OPENAPI, WEBHOOKS, DISCOVERY)

    def problems(self, entry: Exchange | Webhook) -> list[str]:
        return self.checker.check(entry)[1].problems

    def assert_right(self, entry: Exchange | Webhook, operation: str) -> None:
        checked = self.checker.check(entry)[1]
        self.assertEqual((checked.operation, checked.problems), (operation, []))

    def assert_wrong(self, entry: Exchange | Webhook, problem: str) -> None:
        problems = self.problems(entry)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(problem, problems[0])

    def test_github_right(self) -> None:
        call = f"GET {REPO}/issues/1/comments?per_page=100&page=2"
        operation = "GET /repos/{owner}/{repo}/issues/{issue_number}/comments"
        self.assert_right(exchange("github", call, response=[]), operation)
        # A parameter of several segments, and the most literal path of two that fit.
        call = f"GET {REPO}/git/matching-refs/heads/a/b"
        operation = "GET /repos/{owner}/{repo}/git/matching-refs/{ref}"
        self.assert_right(exchange("github", call, response=[]), operation)
        call = f"GET {REPO}/installation"
        error = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}
        operation = "GET /repos/{owner}/{repo}/installation"
        self.assert_right(exchange("github", call, status=404, response=error), operation)

    def test_github_wrong_requests(self) -> None:
        for call, problem in [
            (f"GET {REPO}/issues/1/remarks", "no operation"),
            (f"GET {REPO}/issues/1/comments?per_page=many", "per_page: 'many' is not of type"),
            (f"GET {REPO}/issues/1/comments?perpage=1", "perpage is not described"),
        ]:
            self.assert_wrong(exchange("github", call, response=[]), problem)
        call = f"POST {REPO}/issues/1/comments"
        error = {"message": "Validation Failed", "documentation_url": "x"}
        for body, problem in [
            ({}, "'body' is a required property"),
            ({"body": 1}, "request/body: 1 is not of type 'string'"),
            ({"body": "a", "reply": 2}, "request/reply is not described"),
        ]:
            self.assert_wrong(exchange("github", call, body, 422, error), problem)
        call = f"DELETE {REPO}/issues/comments/1"
        self.assert_wrong(exchange("github", call, {"a": 1}, 204), "none is described")

    def test_github_wrong_answers(self) -> None:
        call = f"GET {REPO}/issues/1/comments"
        cases: list[tuple[int, Any, str]] = [
            (201, [], "status 201 is not described"),
            (200, None, "answer 200 has no body"),
            (200, {}, "answer: {} is not of type 'array'"),
            (404, {"message": 1}, "answer/message: 1 is not of type 'string'"),
        ]
        for status, answer, problem in cases:
            entry = exchange("github", call, status=status, response=answer)
            self.assert_wrong(entry, problem)
        entry = exchange("github", call, response=[{"id": 1}])
        self.assertTrue(any("required property" in text for text in self.problems(entry)))

    def test_github_null_where_it_may_be(self) -> None:
        call = f"GET {REPO}/commits/abc/statuses"
        status = {
            "url": "u", "avatar_url": None, "id": 1, "node_id": "n", "state": "success",
            "description": None, "target_url": None, "context": "c",
            "created_at": "t", "updated_at": "t", "creator": None,
        }  # fmt: skip
        self.assertEqual(self.problems(exchange("github", call, response=[status])), [])
        entry = exchange("github", call, response=[status | {"state": None}])
        self.assert_wrong(entry, "/state: None is not of type 'string'")

    def test_google_right(self) -> None:
        account = {"name": "projects/p1/serviceAccounts/a", "uniqueId": "7", "etag": "AA=="}
        entry = exchange("google", f"GET {ACCOUNT}", response=account)
        self.assert_right(entry, "iam.projects.serviceAccounts.get")
        policy = {"bindings": [{"role": "roles/x", "members": ["user:a"]}], "version": 1}
        call = "POST /v1/projects/p1:setIamPolicy"
        entry = exchange("google", call, {"policy": policy}, response=policy)
        self.assert_right(entry, "cloudresourcemanager.projects.setIamPolicy")
        call = "POST /v1/projects/p1/locations/eu/connections/c1:getIamPolicy"
        name = "bigqueryconnection.projects.locations.connections.getIamPolicy"
        self.assert_right(exchange("google", call, {}, response=policy), name)
        call = f"PATCH {DATASET}?updateMode=UPDATE_ACL&prettyPrint=false"
        body = {"labels": {"a": "b"}, "creationTime": "1"}
        self.assert_right(exchange("google", call, body, response=body), "bigquery.datasets.patch")
        body = {"labels": {"gone": None}, "description": None}
        call = f"PATCH {DATASET}"
        self.assert_right(exchange("google", call, body, response={}), "bigquery.datasets.patch")
        error = {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}
        entry = exchange("google", f"GET {DATASET}", status=404, response=error)
        self.assert_right(entry, "bigquery.datasets.get")

    def test_google_wrong(self) -> None:
        cases: list[tuple[str, Any, Any, str]] = [
            (f"POST {ACCOUNT}", None, {}, "no method"),
            (f"GET {DATASET}?view=all", None, {}, "query parameter view is not described"),
            (f"GET {DATASET}?datasetView=some", None, {}, "'some' is none of"),
            (f"PATCH {DATASET}", {"label": {}}, {}, "request/label is not described"),
            (f"PUT {DATASET}", {"labels": {"a": None}}, {}, "request/labels/a: None is no string"),
            (f"PATCH {DATASET}", {"access": {}}, {}, "request/access: {} is no array"),
            (f"PATCH {DATASET}", {"labels": {"a": 1}}, {}, "request/labels/a: 1 is no string"),
            (f"GET {DATASET}", None, {"creationTime": 1}, "creationTime: 1 is no string"),
            (f"GET {DATASET}", None, {"creationTime": "x"}, "'x' is no int64"),
            (f"GET {ACCOUNT}", None, {"disabled": "no"}, "'no' is no boolean"),
            (f"GET {ACCOUNT}", None, None, "has no body"),
        ]
        for call, request, answer, problem in cases:
            with self.subTest(call=call, request=request, answer=answer):
                self.assert_wrong(exchange("google", call, request, response=answer), problem)
        entry = exchange("google", f"GET {DATASET}", status=403, response={"message": "no"})
        self.assert_wrong(entry, "no error of Google's form")

    def test_webhooks(self) -> None:
        self.assert_wrong(Webhook(1, "pull_request", {"action": "painted"}), "no webhook")
        problems = self.problems(Webhook(1, "ping", {"zen": 1, "hook_id": 1, "surprise": 1}))
        self.assertTrue(any("/zen: 1 is not of type" in text for text in problems), problems)
        self.assertTrue(any("surprise" in text for text in problems), problems)

    def test_newer_fields_are_in_no_schema(self) -> None:
        text = WEBHOOKS.read_text(encoding="utf-8")
        anywhere = {field for field in NEWER if "/" not in field}
        self.assertEqual([field for field in anywhere if f'"{field}"' in text], [])
        review = json.loads(text)["definitions"]["pull-request-review"]
        self.assertEqual(NEWER.keys() - anywhere, {"review/updated_at"})
        self.assertNotIn("updated_at", review["properties"])

    def test_newer_fields_are_taken_out_of_their_place_only(self) -> None:
        payload = {"review": {"updated_at": 1, "user": [{"user_view_type": 2}]}, "updated_at": 3}
        expected = {"review": {"user": [{}]}, "updated_at": 3}
        self.assertEqual(without(NEWER, payload), expected)

    def test_nothing_seen_is_a_failure(self) -> None:
        tallies = self.checker.check_all([])
        self.assertEqual(len(check.failures(tallies)), len(check.SYSTEMS))
        entry = exchange("mainframe", "GET /")
        self.assertTrue(check.failures(self.checker.check_all([entry])))

    def test_lines_are_read_and_counted(self) -> None:
        lines = [
            {"system": "google", "method": "GET", "uri": DATASET, "request": None,
             "status": 200, "response": {"id": 1}},
            {"system": "webhook", "event": "ping", "request": {}},
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "traffic.jsonl"
            path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
            tallies = self.checker.check_all(read(path))
        self.assertEqual(tallies["google"].requests, 1)
        self.assertEqual(len(tallies["google"].violations), 1)
        self.assertIn("line 1: bigquery.datasets.get: answer/id", tallies["google"].violations[0])
        self.assertEqual(tallies["webhook"].operations, {"ping$event"})


if __name__ == "__main__":
    unittest.main()
