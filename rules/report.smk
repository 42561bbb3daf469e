"""The run report: one page a person reads first.

Reads the plan, the state of every group and all records; writes a static HTML page. Every run notes
its beginning and its end, and ends with a summary; one that made nothing has not succeeded. A run
whose jobs crashed never comes to the rule: its page is written when the run ends.
"""

from contimg.report.ending import finish
from contimg.report.runs import begin
from contimg.run.curves import light_curves_of_what_there_is


rule report_run:
    input:
        status=p("status"),
        records=records(),
    output:
        report=p("report"),
    log:
        log_of("report_run", "report"),
    benchmark:
        benchmark_of("report_run", "report")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        **depends_on("report"),
        results=Unwatched(RESULTS),
        plan=Unwatched(PLAN_FILE),
        planned=PLAN_CONTENT,
        flags=flags_of("report"),
    shell:
        "contimg report --results {params.results:q} --plan {params.plan:q} {params.flags}"
        " --status {input.status:q} --report {output.report:q}"
        " > {log:q} 2>&1"


RUNS = []


onstart:
    if runs_jobs(sys.argv):  # not when products are only touched
        RUNS.append(begin(RESULTS, PLAN_FILE, CONFIG.model_dump(mode="json")))


onsuccess:
    for run in RUNS:
        if reason := finish(run, RESULTS, TIER, True, CONFIG.report):
            raise WorkflowError(f"nothing was made: {reason}")


onerror:
    for run in RUNS:
        light_curves_of_what_there_is(CONFIG, PLAN_FILE)
        finish(run, RESULTS, TIER, False, CONFIG.report)
