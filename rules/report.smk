"""The run report: one page a person reads first.

Reads the plan, the state of every group and all records; writes a static HTML page. Every run notes
its beginning and its end, and ends with a summary; one that made nothing has not succeeded. A run
whose jobs crashed never comes to the rule: its page is written when the run ends.
"""

from contimg.report.ending import finish
from contimg.report.runs import begin


rule report_run:
    input:
        plan=p("plan"),
        rejected=p("rejected"),
        status=p("status"),
        records=everything(),
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
        flags=f"--results {RESULTS} {flags(CONFIG, 'report')}",
        code=code("report"),
    shell:
        "contimg report --plan {input.plan} {params.flags}"
        " --status {input.status} --report {output.report}"
        " > {log} 2>&1"


RUNS = []


onstart:
    RUNS.append(begin(RESULTS, p("plan"), CONFIG.model_dump(mode="json")))


onsuccess:
    if reason := finish(RUNS[-1], RESULTS, TIER, True, CONFIG.report):
        raise WorkflowError(f"nothing was made: {reason}")


onerror:
    finish(RUNS[-1], RESULTS, TIER, False, CONFIG.report)
