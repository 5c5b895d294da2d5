//! The fields of Argo's kinds, as far down as this project writes them.
//!
//! Refused is what the definitions of version 3.7 or those of 4.1 refuse: a schedule's pattern
//! came with the later one.

use super::schema::Schema::{
    self, Any, Flag, List, Needs, Object, Text, Texts, Whole, WholeOrText,
};
use super::schema::{Fields, METADATA};

pub(super) static CRON_WORKFLOW: Schema = Needs(
    &["spec"],
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Object(METADATA)),
        (
            "spec",
            Needs(
                &["schedules", "workflowSpec"],
                &[
                    ("concurrencyPolicy", Text),
                    ("failedJobsHistoryLimit", Whole),
                    ("schedules", List(&Text)),
                    ("startingDeadlineSeconds", Whole),
                    (
                        "stopStrategy",
                        Needs(&["expression"], &[("expression", Text)]),
                    ),
                    ("successfulJobsHistoryLimit", Whole),
                    ("suspend", Flag),
                    ("timezone", Text),
                    ("when", Text),
                    ("workflowMetadata", Object(EMBEDDED_METADATA)),
                    ("workflowSpec", Object(WORKFLOW_SPEC)),
                ],
            ),
        ),
        ("status", Any),
    ],
);

pub(super) static WORKFLOW: Schema = Needs(
    &["spec"],
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Object(METADATA)),
        ("spec", Object(WORKFLOW_SPEC)),
        ("status", Any),
    ],
);

const EMBEDDED_METADATA: Fields = &[
    ("annotations", Texts),
    ("finalizers", List(&Text)),
    ("labels", Texts),
    ("name", Text),
    ("namespace", Text),
];

const POD_METADATA: Fields = &[("annotations", Texts), ("labels", Texts)];

const WORKFLOW_SPEC: Fields = &[
    ("activeDeadlineSeconds", Whole),
    ("affinity", Any),
    ("archiveLogs", Flag),
    ("arguments", Object(ARGUMENTS)),
    ("artifactGC", Any),
    ("artifactRepositoryRef", Any),
    ("automountServiceAccountToken", Flag),
    ("dnsConfig", Any),
    ("dnsPolicy", Text),
    ("entrypoint", Text),
    ("executor", Object(&[("serviceAccountName", Text)])),
    ("hooks", Any),
    ("hostAliases", Any),
    ("hostNetwork", Flag),
    ("imagePullSecrets", List(&Object(&[("name", Text)]))),
    ("metrics", Needs(&["prometheus"], METRICS)),
    ("nodeSelector", Texts),
    ("onExit", Text),
    ("parallelism", Whole),
    ("podDisruptionBudget", Any),
    (
        "podGC",
        Object(&[
            ("deleteDelayDuration", Text),
            ("labelSelector", Any),
            ("strategy", Text),
        ]),
    ),
    ("podMetadata", Object(POD_METADATA)),
    ("podPriorityClassName", Text),
    ("podSpecPatch", Text),
    ("priority", Whole),
    ("retryStrategy", Object(RETRY)),
    ("schedulerName", Text),
    ("securityContext", Object(POD_SECURITY)),
    ("serviceAccountName", Text),
    ("shutdown", Text),
    ("suspend", Flag),
    ("synchronization", Object(SYNCHRONIZATION)),
    ("templateDefaults", Object(TEMPLATE)),
    ("templates", List(&Object(TEMPLATE))),
    ("tolerations", Any),
    (
        "ttlStrategy",
        Object(&[
            ("secondsAfterCompletion", Whole),
            ("secondsAfterFailure", Whole),
            ("secondsAfterSuccess", Whole),
        ]),
    ),
    ("volumeClaimGC", Any),
    ("volumeClaimTemplates", Any),
    ("volumes", Any),
    ("workflowMetadata", Any),
    (
        "workflowTemplateRef",
        Object(&[("clusterScope", Flag), ("name", Text)]),
    ),
];

const TEMPLATE: Fields = &[
    ("activeDeadlineSeconds", WholeOrText),
    ("affinity", Any),
    ("annotations", Texts),
    ("archiveLocation", Any),
    ("automountServiceAccountToken", Flag),
    ("container", Object(CONTAINER)),
    ("containerSet", Any),
    ("daemon", Flag),
    ("dag", Any),
    ("data", Any),
    ("executor", Object(&[("serviceAccountName", Text)])),
    ("failFast", Flag),
    ("hostAliases", Any),
    ("http", Any),
    ("initContainers", Any),
    ("inputs", Object(ARGUMENTS)),
    ("memoize", Any),
    ("metadata", Object(POD_METADATA)),
    ("metrics", Needs(&["prometheus"], METRICS)),
    ("name", Text),
    ("nodeSelector", Texts),
    (
        "outputs",
        Object(&[
            ("artifacts", Any),
            ("exitCode", Text),
            ("parameters", List(&Needs(&["name"], PARAMETER))),
            ("result", Text),
        ]),
    ),
    ("parallelism", Whole),
    ("plugin", Any),
    ("podSpecPatch", Text),
    ("priority", Whole),
    ("priorityClassName", Text),
    ("resource", Any),
    ("retryStrategy", Object(RETRY)),
    ("schedulerName", Text),
    ("script", Any),
    ("securityContext", Object(POD_SECURITY)),
    ("serviceAccountName", Text),
    ("sidecars", Any),
    ("steps", Any),
    ("suspend", Any),
    ("synchronization", Object(SYNCHRONIZATION)),
    ("timeout", Text),
    ("tolerations", Any),
    ("volumes", Any),
];

const CONTAINER: Fields = &[
    ("args", List(&Text)),
    ("command", List(&Text)),
    (
        "env",
        List(&Needs(
            &["name"],
            &[("name", Text), ("value", Text), ("valueFrom", Any)],
        )),
    ),
    ("envFrom", Any),
    ("image", Text),
    ("imagePullPolicy", Text),
    ("lifecycle", Any),
    ("livenessProbe", Any),
    ("name", Text),
    ("ports", Any),
    ("readinessProbe", Any),
    ("resizePolicy", Any),
    (
        "resources",
        Object(&[("claims", Any), ("limits", Any), ("requests", Any)]),
    ),
    ("restartPolicy", Text),
    ("restartPolicyRules", Any),
    (
        "securityContext",
        Object(&[
            ("allowPrivilegeEscalation", Flag),
            ("appArmorProfile", Any),
            (
                "capabilities",
                Object(&[("add", List(&Text)), ("drop", List(&Text))]),
            ),
            ("privileged", Flag),
            ("procMount", Text),
            ("readOnlyRootFilesystem", Flag),
            ("runAsGroup", Whole),
            ("runAsNonRoot", Flag),
            ("runAsUser", Whole),
            ("seLinuxOptions", Any),
            ("seccompProfile", Needs(&["type"], SECCOMP)),
            ("windowsOptions", Any),
        ]),
    ),
    ("startupProbe", Any),
    ("stdin", Flag),
    ("stdinOnce", Flag),
    ("terminationMessagePath", Text),
    ("terminationMessagePolicy", Text),
    ("tty", Flag),
    ("volumeDevices", Any),
    (
        "volumeMounts",
        List(&Needs(&["mountPath", "name"], VOLUME_MOUNT)),
    ),
    ("workingDir", Text),
];

const VOLUME_MOUNT: Fields = &[
    ("mountPath", Text),
    ("mountPropagation", Text),
    ("name", Text),
    ("readOnly", Flag),
    ("recursiveReadOnly", Text),
    ("subPath", Text),
    ("subPathExpr", Text),
];

const SECCOMP: Fields = &[("localhostProfile", Text), ("type", Text)];

const POD_SECURITY: Fields = &[
    ("appArmorProfile", Any),
    ("fsGroup", Whole),
    ("fsGroupChangePolicy", Text),
    ("runAsGroup", Whole),
    ("runAsNonRoot", Flag),
    ("runAsUser", Whole),
    ("seLinuxChangePolicy", Text),
    ("seLinuxOptions", Any),
    ("seccompProfile", Needs(&["type"], SECCOMP)),
    ("supplementalGroups", List(&Whole)),
    ("supplementalGroupsPolicy", Text),
    ("sysctls", Any),
    ("windowsOptions", Any),
];

const ARGUMENTS: Fields = &[
    ("artifacts", Any),
    ("parameters", List(&Needs(&["name"], PARAMETER))),
];

/// Values are strings even where they look like numbers; a bare number is a type error.
const PARAMETER: Fields = &[
    ("default", Text),
    ("description", Text),
    ("enum", List(&Text)),
    ("globalName", Text),
    ("name", Text),
    ("value", Text),
    (
        "valueFrom",
        Object(&[
            ("configMapKeyRef", Any),
            ("default", Text),
            ("event", Text),
            ("expression", Text),
            ("jqFilter", Text),
            ("jsonPath", Text),
            ("parameter", Text),
            ("path", Text),
            ("supplied", Any),
        ]),
    ),
];

const RETRY: Fields = &[
    ("affinity", Any),
    (
        "backoff",
        Object(&[
            ("cap", Text),
            ("duration", Text),
            ("factor", WholeOrText),
            ("maxDuration", Text),
        ]),
    ),
    ("expression", Text),
    ("limit", WholeOrText),
    ("retryPolicy", Text),
];

const METRICS: Fields = &[(
    "prometheus",
    List(&Needs(
        &["help", "name"],
        &[
            ("counter", Needs(&["value"], &[("value", Text)])),
            (
                "gauge",
                Needs(
                    &["realtime", "value"],
                    &[("realtime", Flag), ("value", Text)],
                ),
            ),
            ("help", Text),
            (
                "histogram",
                Needs(&["buckets", "value"], &[("buckets", Any), ("value", Text)]),
            ),
            (
                "labels",
                List(&Needs(&["key", "value"], &[("key", Text), ("value", Text)])),
            ),
            ("name", Text),
            ("when", Text),
        ],
    )),
)];

/// The singular `mutex` and `semaphore` went away in version 4.
const SYNCHRONIZATION: Fields = &[
    (
        "mutexes",
        List(&Object(&[
            ("database", Flag),
            ("name", Text),
            ("namespace", Text),
        ])),
    ),
    (
        "semaphores",
        List(&Object(&[
            (
                "configMapKeyRef",
                Needs(
                    &["key"],
                    &[("key", Text), ("name", Text), ("optional", Flag)],
                ),
            ),
            ("database", Any),
            ("namespace", Text),
        ])),
    ),
];
