//! The one error type that leaves a module's door.
//!
//! Its job: say what was wrong, where, and what would have been right, under a code that never
//! changes its meaning. It does not know HTTP or exit codes: `http` and `cli` map a code's
//! [`Class`] to theirs.

use std::fmt;

/// A result whose error can be shown to whoever asked.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for whoever asked.
#[derive(Debug, Clone)]
pub struct Error {
    /// Stable; clients branch on it.
    pub code: Code,
    /// Lowercase, no full stop, carries the values.
    pub message: String,
    /// Values that a program may want, as a JSON object.
    pub details: Option<serde_json::Value>,
    /// Each place of the request that is wrong, all at once.
    pub issues: Vec<Issue>,
}

/// One place of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Issue {
    /// RFC 6901 pointer into what was sent, or the name of a flag or a file with its line.
    pub path: String,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// What a caller can do about an error; decides the HTTP status and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request is malformed: correct it.
    Invalid,
    /// Well-formed, but it cannot be done as it stands.
    Unprocessable,
    /// It is not there.
    NotFound,
    /// The route is there, the method is not.
    MethodNotAllowed,
    /// It disagrees with what is already stored.
    Conflict,
    /// Who asks did not say who they are.
    Unauthenticated,
    /// Who asks may not.
    Forbidden,
    /// Larger than a limit.
    TooLarge,
    /// Not in this version.
    Unsupported,
    /// The machine or the store cannot serve it now.
    Unavailable,
    /// Our fault.
    Internal,
}

/// Defines [`Code`] from one table, so that a code's name, class and meaning cannot drift apart.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $class:ident;)+) => {
        /// Stable error codes. A code never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The snake_case text that clients see.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Code::$name => $text,)+ } }

            /// What a caller can do about it.
            #[must_use]
            pub fn class(self) -> Class { match self { $(Code::$name => Class::$class,)+ } }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str { match self { $(Code::$name => concat!($($doc),+).trim_ascii(),)+ } }
        }
    };
}

codes! {
    /// A field is missing, has the wrong type or breaks a rule; `issues` lists every place.
    InvalidRequest = "invalid_request", Invalid;
    /// The body or file is not JSON; the message has line and column.
    InvalidJson = "invalid_json", Invalid;
    /// JSON nested deeper than the limit.
    JsonTooDeep = "json_too_deep", Invalid;
    /// An object has the same key twice, so it has no one meaning.
    JsonDuplicateKey = "json_duplicate_key", Invalid;
    /// An integer outside 64 bits, or a number beyond a double: it could not be kept exactly.
    JsonNumberNotExact = "json_number_not_exact", Invalid;
    /// The request's `Host` is not a name of this machine.
    HostNotAllowed = "host_not_allowed", Invalid;
    /// `tenant_id` breaks its rule.
    InvalidTenantId = "invalid_tenant_id", Invalid;
    /// `scope` breaks its rule.
    InvalidScope = "invalid_scope", Invalid;
    /// A grant, a binding, a root or the configuration file is malformed.
    InvalidConfiguration = "invalid_configuration", Invalid;
    /// `step/after` names neither a step id nor a step index.
    ReplayStepReferenceRequired = "replay_step_reference_required", Invalid;
    /// Only a run that ended with status `success` is compiled (or `allow_partial` is set).
    ReplayCompileRequiresSuccessfulRun = "replay_compile_requires_successful_run", Invalid;
    /// The task graph is malformed or hangs together wrongly; `issues` lists every place.
    InvalidGraph = "invalid_graph", Invalid;
    /// The run has no step that can become part of a playbook.
    ReplayCompileNoSteps = "replay_compile_no_steps", Invalid;
    /// The request did not arrive in full within the time that the limits give it.
    RequestTooSlow = "request_too_slow", Invalid;
    /// Only an operator may do this, and the request has no `Authorization: Bearer` with the operator's token: the file `operator.token` in the data directory.
    OperatorTokenMissing = "operator_token_missing", Unauthenticated;
    /// Only an operator may do this, and what the request sent is not the operator's token.
    OperatorTokenWrong = "operator_token_wrong", Forbidden;
    /// This version of the playbook was not made by a repair, and none before it was.
    ReplayRepairPatchMissing = "replay_repair_patch_missing", Invalid;
    /// Commands of the playbook run on this machine only where `params.allow_local_exec` is true.
    ReplayLocalExecConsentRequired = "replay_local_exec_consent_required", Invalid;
    /// `params.allowed_commands` leaves no command at all.
    ReplayAllowedCommandsEmpty = "replay_allowed_commands_empty", Invalid;
    /// Who approves a repair must be another than who made it.
    ReviewerIsAuthor = "reviewer_is_author", Forbidden;
    /// There is no such repair.
    RepairNotFound = "repair_not_found", NotFound;
    /// No run of this id in this tenant and scope.
    ReplayRunNotFound = "replay_run_not_found", NotFound;
    /// The run has no such step.
    ReplayStepNotFound = "replay_step_not_found", NotFound;
    /// No playbook (or version) of this id in this tenant and scope.
    ReplayPlaybookNotFound = "replay_playbook_not_found", NotFound;
    /// There is no tool of this name here, or no such version of a tool component.
    ToolNotFound = "tool_not_found", NotFound;
    /// The component carries no plan that its code can be held against: it was made by hand or elsewhere.
    PlanNotFound = "plan_not_found", NotFound;
    /// No job of this id in this tenant and scope.
    JobNotFound = "job_not_found", NotFound;
    /// No external call of this id waits in this tenant and scope.
    CallNotFound = "call_not_found", NotFound;
    /// No approval of this id waits in this tenant and scope.
    ApprovalNotFound = "approval_not_found", NotFound;
    /// No secret of this name is set.
    SecretNotFound = "secret_not_found", NotFound;
    /// The store has no grant of this name.
    GrantNotFound = "grant_not_found", NotFound;
    /// The job's journal has no entry of this number.
    EntryNotFound = "entry_not_found", NotFound;
    /// No such route.
    RouteNotFound = "route_not_found", NotFound;
    /// The route is there, but not with this method.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed;
    /// A file or directory named on the command line is not there.
    FileNotFound = "file_not_found", NotFound;
    /// A directory that is to be made is there already; nothing is written over.
    FileExists = "file_exists", Conflict;
    /// The same id was used before with other content; `details` shows both.
    IdConflict = "id_conflict", Conflict;
    /// The playbook, or the version that is named, is disabled: nothing of it is started until somebody promotes a version again.
    PlaybookDisabled = "playbook_disabled", Conflict;
    /// The version has not earned that status yet; `details.missing` lists what is missing. An operator may promote it all the same.
    PromotionNotEarned = "promotion_not_earned", Conflict;
    /// The version waits for no review: it needs none, or somebody reviewed it already.
    ReplayRepairNotPendingReview = "replay_repair_not_pending_review", Conflict;
    /// The run has ended and takes no more steps.
    RunEnded = "run_ended", Conflict;
    /// The deterministic gate was told to reject on a mismatch, and there is one.
    ReplayDeterministicGateMismatch = "replay_deterministic_gate_mismatch", Conflict;
    /// The job is in a state in which this cannot be done.
    JobStateConflict = "job_state_conflict", Conflict;
    /// The claim of an external call is not, or no longer, the caller's: another may have it by now.
    ClaimLost = "claim_lost", Conflict;
    /// Another grant stands on this one: a program on its directory, a secret on its web server.
    GrantInUse = "grant_in_use", Conflict;
    /// Many writers touched the same thing at once; try again.
    Contended = "contended", Conflict;
    /// The upload is not a WebAssembly component.
    NotAComponent = "not_a_component", Unprocessable;
    /// The component imports something that nothing here provides; `issues` lists each.
    ImportsUnsatisfied = "imports_unsatisfied", Unprocessable;
    /// The component asks for more memory, tables or instances than the sandbox gives.
    ComponentTooDemanding = "component_too_demanding", Unprocessable;
    /// The component's start functions trap or do not come to an end.
    ComponentDoesNotStart = "component_does_not_start", Unprocessable;
    /// Nothing that the component exports can be a tool; `issues` lists each function and why.
    NoTools = "no_tools", Unprocessable;
    /// The input does not fit the playbook's input schema; `issues` lists each place.
    InputDoesNotFit = "input_does_not_fit", Unprocessable;
    /// The recorded run cannot become a component; the message says at which step.
    NotCompilable = "not_compilable", Unprocessable;
    /// The evidence is not what was made, or was not signed by the key that was named; the message says at which place.
    EvidenceBroken = "evidence_broken", Unprocessable;
    /// The bundle is not what was packed, or does not show what it says; the message says at which place. Nothing of it was kept.
    BundleBroken = "bundle_broken", Unprocessable;
    /// What is to be packed holds the value of a secret; the message says where.
    SecretInBundle = "secret_in_bundle", Unprocessable;
    /// The planner made no graph that could be run, or said that it cannot; `issues` lists what is wrong with its last one. Nothing was started.
    PlannerFailed = "planner_failed", Unprocessable;
    /// Larger than a limit; the message names the limit.
    TooLarge = "too_large", TooLarge;
    /// Part of the design, but not of this version.
    NotSupported = "not_supported", Unsupported;
    /// Another process has this data directory open.
    DataDirInUse = "data_dir_in_use", Unavailable;
    /// The data directory was written by a newer version.
    DataDirTooNew = "data_dir_too_new", Unavailable;
    /// The data directory holds other files and no store; an empty or new one would do.
    DataDirNotOurs = "data_dir_not_ours", Invalid;
    /// The disk refused a read or a write. Nothing that was acknowledged is lost.
    StoreUnavailable = "store_unavailable", Unavailable;
    /// A flush failed earlier: no more writes until a restart. Nothing that was acknowledged is lost.
    StorePoisoned = "store_poisoned", Unavailable;
    /// The secrets cannot be opened: their key is missing, is another one, or can be read by others; the message says what to do.
    SecretsLocked = "secrets_locked", Unavailable;
    /// As many jobs as the limit allows are waiting to run, or as many journals are being sent.
    TooBusy = "too_busy", Unavailable;
    /// The address to listen on cannot be had.
    CannotListen = "cannot_listen", Unavailable;
    /// The server that `--url` names does not answer.
    ServerUnreachable = "server_unreachable", Unavailable;
    /// The planner's endpoint does not answer, refuses, or answers with something else than a completion. Nothing was started.
    PlannerUnavailable = "planner_unavailable", Unavailable;
    /// The server is shutting down.
    ShuttingDown = "shutting_down", Unavailable;
    /// Stored data does not read back as it was written.
    DataCorrupt = "data_corrupt", Internal;
    /// A mistake of ours; the log has the rest.
    InternalError = "internal_error", Internal;
}

impl Error {
    /// An error of this code; the message follows the rules of the module.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), details: None, issues: Vec::new() }
    }

    /// Stored data that does not read back. What is JSON and yet not of a form that is known here was not damaged: another version
    /// wrote it, and that one reads it.
    pub fn stored(what: impl std::fmt::Display, e: &serde_json::Error) -> Self {
        let message = match e.classify() {
            serde_json::error::Category::Data => format!(
                "{what} has a form that this version does not know ({e}): another version of reprise wrote it, such as a development build; use that one, or another data directory"
            ),
            _ => format!("{what} does not read back: {e}"),
        };
        Error::new(Code::DataCorrupt, message)
    }

    /// An [`Code::InvalidRequest`] with one issue.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        let issue = Issue { path: path.into(), message: message.into() };
        let place = if issue.path.is_empty() { String::new() } else { format!("{}: ", issue.path) };
        Error::new(Code::InvalidRequest, format!("{place}{}", issue.message)).with_issues(vec![issue])
    }

    /// Adds values for programs.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Adds the places that are wrong.
    #[must_use]
    pub fn with_issues(mut self, issues: Vec<Issue>) -> Self {
        self.issues = issues;
        self
    }

    /// Puts where it happened before the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
