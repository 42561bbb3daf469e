"""The state of a run.

The inventory and the plan are made by the main process when it starts (rules/common.smk), so
there is no rule for them; this one tells what became of every group. When there is none, or all of
them failed, it tells so each time, so that such a run fails each time.
"""

import time

from contimg.report.ending import made_nothing


rule show_status:
    input:
        records(),
    output:
        status=p("status"),
    log:
        log_of("show_status", "status"),
    benchmark:
        benchmark_of("show_status", "status")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        **depends_on("status"),
        results=Unwatched(RESULTS),
        plan=Unwatched(PLAN_FILE),
        tier=TIER,
        planned=PLAN_CONTENT,
        again="" if PLAN["groups"] and not made_nothing(RESULTS) else str(time.time()),
    shell:
        "contimg status --results {params.results:q} --plan {params.plan:q} --tier {params.tier}"
        " --status {output.status:q} > {log:q} 2>&1"
