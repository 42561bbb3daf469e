"""Calibration: solve on a calibrator, apply to the tiles.

Reads a calibrator's MS, the calibrator table and the catalogue; writes the tables K, B and G with
a record and a picture. A tile takes the records of all calsets that may serve it and applies the
nearest one in time that did not fail, or what lies between two; which and why is a file beside the
calibrated MS. docs/calibration.md explains choice, interpolation and refinement.
"""

# flag of contimg solve for each table
TABLE_FLAGS = {"K": "k", "B": "b", "G": "g", "2G": "g2"}


rule solve_calset:
    input:
        ms=p("cal_ms"),
        record=p("cal_ms_record"),
        field_model=table_input(CONFIG.field_model),
        deep=calset_deep_model,
        model=CONFIG.calibrate.model_path or [],
    output:
        **caltables(),
        plot=report(
            p("solutions_plot"),
            caption="captions/solutions.rst",
            category="Calibration",
            labels={"calset": "{calset}"},
        ),
        record=p("solutions"),
    log:
        log_of("solve_calset", "{day}/{calset}"),
    benchmark:
        benchmark_of("solve_calset", "{day}/{calset}")
    conda:
        "../envs/calibrate.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        **depends_on("solve"),
        calibrator=calibrator_of,
        calibrators=Unwatched(CALIBRATORS),
        row=calibrator_row,
        field=field_model,
        tables=lambda w, output: as_flags(output, caltables()),
        flags=flags_of("solve"),
    shell:
        "contimg solve --ms {input.ms:q} --ms-record {input.record:q}"
        " --calibrator {params.calibrator:q} --calibrators {params.calibrators:q}"
        " --catalog {input.field_model:q} --deep {input.deep:q} {params.tables}"
        " --plot {output.plot:q} --record {output.record:q} {params.flags} > {log:q} 2>&1"


if CONFIG.one_pass:

    rule calibrate_tile:
        input:
            simulated,
            solutions=candidate_calsets("solutions"),
            inspections=candidate_calsets("calset_record"),
            tables=candidate_calsets("caltable"),
            field_model=table_input(CONFIG.field_model),
        output:
            ms_record=p("ms_record"),
            plot=p("ms_plot"),
            calibrated=ms("calibrated_ms"),
            choice=p("calset_choice"),
            record=p("calibrated_record"),
        log:
            log_of("calibrate_tile", "{day}/{group}"),
        benchmark:
            benchmark_of("calibrate_tile", "{day}/{group}")
        group:
            "tile"
        conda:
            "../envs/calibrate.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 3000,
            runtime=lambda wildcards, attempt: attempt * 30,
        params:
            **depends_on("calibrate tile"),
            tier=TIER,
            staleness=CONFIG.plan.staleness_hours,
            dec_tolerance=CONFIG.plan.dec_tolerance_deg,
            field=field_model,
            manifest=lambda w: Unwatched(manifest_of(w)),
            raw=raw_content,
            flags=flags_of("calibrate tile"),
        shell:
            "contimg calibrate tile --manifest {params.manifest:q} --ms-record {output.ms_record:q}"
            " --plot {output.plot:q} --catalog {input.field_model:q}"
            " --tier {params.tier} --staleness-hours {params.staleness}"
            " --dec-tolerance-deg {params.dec_tolerance} --calibrated {output.calibrated:q}"
            " --choice {output.choice:q} --record {output.record:q} {params.flags}"
            " --solutions {input.solutions:q} --inspections {input.inspections:q} > {log:q} 2>&1"

else:

    rule apply_calset:
        input:
            ms=p("ms"),
            record=p("ms_record"),
            solutions=candidate_calsets("solutions"),
            inspections=candidate_calsets("calset_record"),
            tables=candidate_calsets("caltable"),
            field_model=table_input(CONFIG.field_model),
        output:
            calibrated=ms("calibrated_ms"),
            choice=p("calset_choice"),
            record=p("calibrated_record"),
        log:
            log_of("apply_calset", "{day}/{group}"),
        benchmark:
            benchmark_of("apply_calset", "{day}/{group}")
        group:
            "tile"
        conda:
            "../envs/calibrate.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 3000,
            runtime=lambda wildcards, attempt: attempt * 30,
        params:
            **depends_on("apply"),
            tier=TIER,
            staleness=CONFIG.plan.staleness_hours,
            dec_tolerance=CONFIG.plan.dec_tolerance_deg,
            field=field_model,
            flags=flags_of("apply"),
        shell:
            "contimg apply --ms {input.ms:q} --ms-record {input.record:q} --catalog {input.field_model:q}"
            " --tier {params.tier} --staleness-hours {params.staleness}"
            " --dec-tolerance-deg {params.dec_tolerance} --calibrated {output.calibrated:q}"
            " --choice {output.choice:q} --record {output.record:q} {params.flags}"
            " --solutions {input.solutions:q} --inspections {input.inspections:q} > {log:q} 2>&1"
