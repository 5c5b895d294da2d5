//! What people read, as they read it.

mod replies;
mod whole;

use super::testing::*;
use super::*;
use crate::plan::outcome::{Outcome, Outcomes};
use crate::plan::steps::Write;
use crate::snapshot::Tree;

/// Two pipelines of one instance.
fn twins() -> Tree {
    tree(&[
        ("stock", file("stock", "stock", "")),
        ("levels", file("stock", "levels", "")),
    ])
}

/// The comment on pull request 12, if `login` approved it and `ends` became of the Steps.
fn after(
    (base, proposed): (Tree, Tree),
    login: &str,
    shown: &[&str],
    ends: fn(&Write) -> Outcome,
) -> String {
    let plan = merged(&base, &proposed);
    let approved = approve_as(&plan, &reviewed(&base, &proposed), login);
    let steps = approved.iter().flat_map(|approved| approved.steps());
    let outcomes = Outcomes {
        steps: steps
            .map(|step| (step.clone(), ends(&step.write)))
            .collect(),
    };
    applied_comment(&Applied {
        pull: 12,
        commit: &commit('c'),
        plan: &plan,
        approved: approved.as_ref(),
        outcomes: &outcomes,
        pipelines: &names(shown),
    })
}

#[test]
fn a_removal_says_what_stays() {
    let plan = reviewed(&twins(), &tree(&[("stock", file("stock", "stock", ""))]));
    insta::assert_snapshot!(comment(&plan), @r##"
    ### Plan for 1 pipeline: 1 to remove

    1 object changes · 1 grant lost · no other team affected

    **Who must agree**

    - `levels` needs an approving review by `@acme/stock` or `@carol` (owners of `acme-stock`)

    An approving review counts for the plan that was shown when it was given. An owner's own pull request needs no further review by that project. Merging is not consent.

    <details>
    <summary><code>levels</code>: remove, digest <code>03617ca0a79f</code></summary>

    `pipelines/levels.yaml`, digest `03617ca0a79f4d010e202b2df86c77e71176b4cdbd102168ae5a214045733492`

    Its schedule and its grants go. Data is never deleted: the dataset and its tables stay.

    | Change | Object | Remark |
    |---|---|---|
    | stays | service account `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` | still held by 1 other pipeline |
    | stays | dataset `acme-stock.levels` | data is never deleted |
    | stays | grant: workload `data/pw-stock-ae315bd1` acts as service account `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` | still held by 1 other pipeline |
    | stays | grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` runs jobs in project `acme-stock` | still held by 1 other pipeline |
    | stays | grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` reads through connection `acme-stock.europe-west1.stock-db` | still held by 1 other pipeline |
    | prune | grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` writes dataset `acme-stock.levels` |  |
    | stays | ServiceAccount `pw-stock-ae315bd1` | still held by 1 other pipeline |
    | stays | Role `pipewright-taskresults` | still held by 1 other pipeline |
    | stays | RoleBinding `pw-stock-ae315bd1` | still held by 1 other pipeline |
    | stays | ConfigMap `pw-stock-ae315bd1-semaphore` | still held by 1 other pipeline |
    | prune | CronWorkflow `levels` |  |

    </details>

    <details>
    <summary>Who reaches what: 1 grant lost</summary>

    | Who | Can | What | Before → after |
    |---|---|---|---|
    | `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` | writes (`WRITER`) | dataset `acme-stock.levels` | yes → **no** |

    3 other grants stay as before.

    </details>

    **Isolation:** 1 identity, 1 connection, over all pipelines: no identity reaches another instance's connection, and no dataset is written by two identities.

    At head `bbbbbbbb`.
    "##);
}

#[test]
fn a_change_and_a_new_pipeline() {
    let (base, proposed) = two();
    let comment = comment(&reviewed(&base, &proposed));
    // The manifests are too long to be read here.
    let (head, tail) = comment
        .split_once("<summary>4 manifests</summary>")
        .unwrap();
    let (_, tail) = tail.split_once("\n</details>\n").unwrap();
    insta::assert_snapshot!(format!("{head}(…)\n{tail}"), @r##"
    ### Plan for 2 pipelines: 1 to create, 1 to change

    7 objects change · 5 grants gained · no other team affected

    **Who must agree**

    - `orders` needs an approving review by `@acme/orders` (owners of `acme-orders`)
    - `stock` needs an approving review by `@acme/stock` or `@carol` (owners of `acme-stock`)

    An approving review counts for the plan that was shown when it was given. An owner's own pull request needs no further review by that project. Merging is not consent.

    <details>
    <summary><code>orders</code>: create, digest <code>0e45575f38e2</code></summary>

    `pipelines/orders.yaml`, digest `0e45575f38e2959a5aa858443b8af26df092e321ec6db35805175f788fddc493`

    | Change | Object | Remark |
    |---|---|---|
    | create | service account `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` |  |
    | create | dataset `acme-orders.orders` |  |
    | create | grant: workload `data/pw-orders-c2f35f4f` acts as service account `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` |  |
    | create | grant: `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` runs jobs in project `acme-orders` |  |
    | create | grant: `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` reads through connection `acme-orders.europe-west1.orders-db` |  |
    | create | grant: `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` writes dataset `acme-orders.orders` |  |
    | create | ServiceAccount `pw-orders-c2f35f4f` |  |
    | create | RoleBinding `pw-orders-c2f35f4f` |  |
    | create | ConfigMap `pw-orders-c2f35f4f-semaphore` |  |
    | create | CronWorkflow `orders` |  |

    <details>
    (…)

    <details>
    <summary>1 object or grant unchanged</summary>

    - Role `pipewright-taskresults`

    </details>

    </details>

    <details>
    <summary><code>stock</code>: change, digest <code>dd59ef0fdc5c</code></summary>

    `pipelines/stock.yaml`, digest `dd59ef0fdc5cf7b51563b1f85737fc92df07dd736047de5f68fc112c34b63ba7`

    | Change | Object | Remark |
    |---|---|---|
    | create | grant: `group:bi@acme.example` reads dataset `acme-stock.stock` |  |
    | configure | CronWorkflow `stock` | `spec.workflowSpec.templates` |

    CronWorkflow `stock`, before and after:

    ```diff
              dataset: stock
              instance: acme-stock:europe-west1:stock
              location: europe-west1
    +         new_columns: hold
    +         new_tables: hold
              pipeline: stock
              project: acme-stock
              schema: stock
    @@ further down @@
              tables:
                only:
                - items
    +           - levels
              version: 1
          - name: PIPEWRIGHT_TABLES
            value: "{{workflow.parameters.tables}}"
    ```

    JSON that stands in a string is shown opened up.

    <details>
    <summary>10 objects and grants unchanged</summary>

    - service account `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com`
    - dataset `acme-stock.stock`
    - grant: workload `data/pw-stock-ae315bd1` acts as service account `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com`
    - grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` runs jobs in project `acme-stock`
    - grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` reads through connection `acme-stock.europe-west1.stock-db`
    - grant: `pw-stock-ae315bd1@acme-identities.iam.gserviceaccount.com` writes dataset `acme-stock.stock`
    - ServiceAccount `pw-stock-ae315bd1`
    - Role `pipewright-taskresults`
    - RoleBinding `pw-stock-ae315bd1`
    - ConfigMap `pw-stock-ae315bd1-semaphore`

    </details>

    </details>

    <details>
    <summary>Who reaches what: 5 grants gained</summary>

    | Who | Can | What | Before → after |
    |---|---|---|---|
    | workload `data/pw-orders-c2f35f4f` | acts as (`roles/iam.workloadIdentityUser`) | service account `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | no → **yes** |
    | `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | runs jobs in (`roles/bigquery.jobUser`) | project `acme-orders` | no → **yes** |
    | `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | reads through (`roles/bigquery.connectionUser`) | connection `acme-orders.europe-west1.orders-db` | no → **yes** |
    | `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | writes (`WRITER`) | dataset `acme-orders.orders` | no → **yes** |
    | `group:bi@acme.example` | reads (`READER`) | dataset `acme-stock.stock` | no → **yes** |

    4 other grants stay as before.

    </details>

    **Isolation:** 2 identities, 2 connections, over all pipelines: no identity reaches another instance's connection, and no dataset is written by two identities.

    At head `bbbbbbbb`.
    "##);
}

#[test]
fn findings_come_first_and_hold_up_only_theirs() {
    let proposed = tree(&[
        ("stock", file("stock", "stock", "schedul: '@daily'\n")),
        ("x", file("other", "stock", "")),
    ]);
    let base = tree(&[("stock", file("stock", "stock", ""))]);
    let plan = reviewed(&base, &proposed);
    insta::assert_snapshot!(comment(&plan), @r##"
    ### Plan for 2 pipelines: 2 blocked

    no object changes · no grant gained or lost · no other team affected · **2 findings to mend first**

    **Nothing of `stock` and `x` will be applied while these findings stand:**

    | Place | Rule | What is wrong | Next step |
    |---|---|---|---|
    | `pipelines/stock.yaml:7` | `unknown-key` | there is no key `schedul` | did you mean `schedule`? |
    | `pipelines/x.yaml:1` | `unknown-project` | the estate does not list the project `acme-other` | ask the house's owners to add it, with its owners, to `policies/estate.yaml` |

    <details>
    <summary><code>stock</code>: blocked</summary>

    `pipelines/stock.yaml`

    This file can not be used as it is. Everything it holds stays as it is: 11 objects and grants.

    </details>

    <details>
    <summary><code>x</code>: blocked</summary>

    `pipelines/x.yaml`

    This file can not be used as it is. It holds nothing yet.

    </details>

    <details>
    <summary>Who reaches what: no grant gained or lost</summary>

    4 grants stay as before.

    </details>

    **Isolation:** 1 identity, 1 connection, over all pipelines: no identity reaches another instance's connection, and no dataset is written by two identities.

    At head `bbbbbbbb`.
    "##);
    let check = check_summary(&plan);
    assert_eq!(check.conclusion, Conclusion::Failure);
    assert_eq!(check.title, "2 findings to mend");
    assert_eq!(
        check.annotations[0].message,
        "there is no key `schedul`\nNext step: did you mean `schedule`?"
    );
}

#[test]
fn what_is_held_names_who_is_missing() {
    let comment = after(two(), "olga", &["orders", "stock"], |_| Outcome::Applied);
    insta::assert_snapshot!(comment, @r##"
    ### Partly applied: 2 pipelines, 1 applied, 1 held

    | Pipeline | Outcome | Next step |
    |---|---|---|
    | `orders` | **applied**, by the review of this pull request |  |
    | `stock` | **held:** owners have not agreed | ask `@acme/stock` or `@carol` (owners of `acme-stock`) for an approving review on this pull request: it is taken up as soon as it is given |

    <details>
    <summary>Approve it as it is now, by an owner's comment on a merged pull request</summary>

    `stock`:

    ```
     /apply dd59ef0fdc5cf7b51563b1f85737fc92df07dd736047de5f68fc112c34b63ba7
    ```

    </details>

    <details>
    <summary>11 Steps</summary>

    |  | Step | Outcome |
    |---|---|---|
    | 1 | begin the Record of `orders` | applied |
    | 2 | create service account `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | applied |
    | 3 | create dataset `acme-orders.orders` | applied |
    | 4 | add 1 grant on service account `pw-orders-c2f35f4f@acme-identities.iam.gserviceaccount.com` | applied |
    | 5 | add 1 grant on project `acme-orders` | applied |
    | 6 | add 1 grant on connection `acme-orders.europe-west1.orders-db` | applied |
    | 7 | add 1 grant on dataset `acme-orders.orders` | applied |
    | 8 | apply ServiceAccount `pw-orders-c2f35f4f` | applied |
    | 9 | apply RoleBinding `pw-orders-c2f35f4f` | applied |
    | 10 | apply ConfigMap `pw-orders-c2f35f4f-semaphore` | applied |
    | 11 | apply CronWorkflow `orders` | applied |

    </details>

    As of commit `cccccccc`.
    "##);
}

#[test]
fn what_failed_says_so() {
    let comment = after(two(), "steve", &["stock"], |write| match write {
        Write::AddGrants { .. } => Outcome::Failed("403: denied on `x` by @google".to_owned()),
        _ => Outcome::Applied,
    });
    insta::assert_snapshot!(comment, @r##"
    ### Partly applied: 1 pipeline, 1 unfinished

    | Pipeline | Outcome | Next step |
    |---|---|---|
    | `stock` | **failed:** add 1 grant on dataset `acme-stock.stock`: 403: denied on `x` by `@google` | the next apply tries it again; if the error stays, it has to be mended where it comes from |

    <details>
    <summary>3 Steps</summary>

    |  | Step | Outcome |
    |---|---|---|
    | 1 | begin the Record of `stock` | applied |
    | 2 | add 1 grant on dataset `acme-stock.stock` | **failed:** 403: denied on `x` by `@google` |
    | 3 | apply CronWorkflow `stock` | applied |

    </details>

    As of commit `cccccccc`.
    "##);
}

#[test]
fn broken_policies_and_an_empty_tree_apply_nothing() {
    let broken = tree(&[
        ("stock", file("stock", "stock", "")),
        ("policies/defaults.yaml", "limits: 3\n".to_owned()),
    ]);
    let comment = after((twins(), broken), "steve", &["levels"], |_| {
        Outcome::Applied
    });
    insta::assert_snapshot!(comment, @r##"
    ### Nothing applied

    The policies have 1 finding to mend. Until they are mended nothing at all is applied; what was approved stays approved.

    | Place | Rule | What is wrong | Next step |
    |---|---|---|---|
    | `policies/defaults.yaml:1` | `wrong-type` | `limits` must be keys and values, not a number |  |

    As of commit `cccccccc`.
    "##);
    let comment = after((twins(), tree::<&str>(&[])), "steve", &["levels"], |_| {
        Outcome::Applied
    });
    assert!(
        comment.starts_with("### Nothing applied: 1 pipeline, 1 held\n"),
        "{comment}"
    );
    assert!(comment.contains("has no pipeline left"), "{comment}");
}

#[test]
fn another_digest_names_both_and_the_way_out() {
    let (base, proposed) = two();
    let later = tree(&[("stock", file("stock", "stock", "target_tables: [other]\n"))]);
    let plan = merged(&base, &later);
    let approved = approve_as(&plan, &reviewed(&base, &proposed), "steve").unwrap();
    let comment = applied_comment(&Applied {
        pull: 13,
        commit: &commit('c'),
        plan: &plan,
        approved: Ok(&approved),
        outcomes: &Outcomes::default(),
        pipelines: &names(&["stock"]),
    });
    insta::assert_snapshot!(comment, @r##"
    ### Nothing applied: 1 pipeline, 1 held

    | Pipeline | Outcome | Next step |
    |---|---|---|
    | `stock` | **held:** pull request `#12` showed the digest `dd59ef0fdc5c`, and now it is `edd332c28103`: since then the base, the policies or what it would adopt or prune has changed | open a pull request that touches `pipelines/stock.yaml` (a comment is enough), so that its plan is shown and can be approved |

    <details>
    <summary>Approve it as it is now, by an owner's comment on a merged pull request</summary>

    `stock`:

    ```
     /apply edd332c2810340c3edce4a1ee5e4e4b955bd8e96cadc119892718dc93d068645
    ```

    </details>

    As of commit `cccccccc`.
    "##);
}

#[test]
fn a_pull_request_that_touches_a_file_shows_its_plan_again() {
    let base = tree(&[("stock", file("stock", "stock", ""))]);
    let touched = tree(&[("stock", file("stock", "stock", "# again\n"))]);
    let comment = comment(&reviewed(&base, &touched));
    assert!(
        comment.starts_with("### Plan for 1 pipeline: 1 to keep\n\nno object changes"),
        "{comment}"
    );
    assert!(!comment.contains("Who must agree"), "{comment}");
}

#[test]
fn nothing_and_conflict() {
    let proposed = tree(&[("pipelines/README.md", "pipelines")]);
    let plan = reviewed(&tree::<&str>(&[]), &proposed);
    insta::assert_snapshot!(comment(&plan), @r##"
    ### Nothing to do

    This pull request changes no pipeline. Nothing is applied when it is merged.

    At head `bbbbbbbb`.
    "##);
    assert_eq!(check_summary(&plan).title, "Nothing to do");
    let files = ["pipelines/a.yaml".to_owned()];
    insta::assert_snapshot!(conflict_comment(&commit('b'), &files), @r##"
    ### No plan: the branch conflicts with its base

    - `pipelines/a.yaml`

    Next step: merge the base branch into this one, or rebase onto it, and push. The plan follows by itself.

    At head `bbbbbbbb`.
    "##);
}
