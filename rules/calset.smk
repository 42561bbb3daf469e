"""Looking at the calibration: a page a calset, and how the calsets of a run differ.

Reads the tables and the record of each solution, not the Measurement Sets; writes pictures,
verdicts and pages. A bad calset is shown like a good one: its page says what is wrong with it.
"""


rule inspect_calset:
    input:
        solutions=p("solutions"),
        tables=[p("caltable").replace("{table}", name) for name in CALTABLES],
    output:
        bandpass=report(
            calset_view("bandpass"),
            caption="captions/calset_bandpass.rst",
            category="Calibration",
            labels={"calset": "{calset}", "picture": "bandpass"},
        ),
        gains=calset_view("gains"),
        delays=calset_view("delays"),
        quality=calset_view("quality"),
        page=p("calset_page"),
        record=p("calset_record"),
    log:
        log_of("inspect_calset", "{day}/{calset}"),
    benchmark:
        benchmark_of("inspect_calset", "{day}/{calset}")
    conda:
        "../envs/calibrate.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        **depends_on("calset inspect"),
        flags=flags_of("calset inspect"),
    shell:
        "contimg calset inspect --solutions {input.solutions:q} --bandpass {output.bandpass:q}"
        " --gains {output.gains:q} --delays {output.delays:q} --quality {output.quality:q}"
        " --page {output.page:q} --record {output.record:q} {params.flags} > {log:q} 2>&1"


rule drift_calsets:
    input:
        solutions=[path("solutions", RESULTS, calset=name) for name in PLAN["calsets"]],
        tables=[
            path("caltable", RESULTS, calset=name, table=table)
            for name in PLAN["calsets"]
            for table in CALTABLES
        ],
    output:
        table=p("drift_table"),
        plot=report(
            p("drift_plot"),
            caption="captions/drift.rst",
            category="Calibration",
            labels={"calset": "all", "picture": "drift"},
        ),
        page=p("drift_page"),
        record=p("drift_record"),
    log:
        log_of("drift_calsets", "drift"),
    benchmark:
        benchmark_of("drift_calsets", "drift")
    conda:
        "../envs/calibrate.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        **depends_on("calset drift"),
        folder=Unwatched(f"{RESULTS}/cal"),
        others=other_calsets,
        flags=flags_of("calset drift"),
    shell:
        "contimg calset drift --table {output.table:q} --plot {output.plot:q} --page {output.page:q}"
        " --record {output.record:q} {params.flags} --solutions {params.folder:q} > {log:q} 2>&1"
