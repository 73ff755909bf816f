//! Black-box tests through the CLI, HTTP and the engine: one binary, a module per behaviour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_survives_kill;
mod store_stops_after_a_refused_write;
mod journal_has_one_writer;
mod journal_is_read_by_anyone;
mod journal_v1_reads_forever;
mod journal_v2_reads_forever;
mod journal_takes_mail;
mod words_at_bad_moments;
mod worker;
mod http_compiles_and_runs;
mod http_page_is_true;
mod http_records_a_run;
mod http_refuses_bad_input;
mod http_uploads;
mod openapi_names_every_route;
mod playbook_written_by_hand;
mod docs_are_true;
mod graphs_page_is_true;
mod demo_tells_the_story;
mod cli_records_compiles_runs;
mod cli_errors_say_what_is_right;
mod one_owner_per_data_directory;
mod job_survives_kill;
mod evidence_is_checked_anywhere;
mod jobs_are_watched;
mod disk_full_and_read_only;
mod tidy;
mod support;
mod graphs_become_jobs;
mod goals_become_jobs;
mod named_cases;
mod no_job_is_lost;
mod the_sandbox_holds;
mod the_counting_server_counts;
mod http_tools_reach_what_is_granted;
mod cli_steers_jobs;
mod http_steers_jobs;
mod http_asks_people_and_workers;
mod kill_in_a_call;
mod kill_everywhere;
mod kill_a_server;
mod calls_end_in_time;
mod playbooks_are_tested;
