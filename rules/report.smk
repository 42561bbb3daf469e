"""The run report: one page a person reads first.

Reads the plan, the state of every group and all records; writes a static HTML page.
"""


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
        " --rejected {input.rejected} --status {input.status} --report {output.report}"
        " > {log} 2>&1"
