"""From UVH5 to Measurement Sets.

Reads a group's manifest, which lists its subband files and changes only when that set does.
Writes the tile's MS (phased to its centre), or a calibrator's (phased to the calibrator), each
flagged and with its record. An MS is never changed once it is there.
"""


rule convert_tile:
    input:
        manifest=p("manifest"),
    output:
        ms=ms("ms"),
        record=p("ms_record"),
        plot=p("ms_plot"),
    log:
        log_of("convert_tile", "{day}/{group}"),
    benchmark:
        benchmark_of("convert_tile", "{day}/{group}")
    group:
        "tile"
    conda:
        "../envs/convert.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        flags=flags(CONFIG, "convert"),
        code=code("convert"),
    shell:
        "contimg convert --manifest {input.manifest} --ms {output.ms} --record {output.record}"
        " --plot {output.plot} {params.flags} > {log} 2>&1"


rule convert_calibrator:
    input:
        manifest=lambda w: path("manifest", RESULTS, group=calset_group(w.calset)),
        calibrators=CALIBRATORS,
    output:
        ms=ms("cal_ms"),
        record=p("cal_ms_record"),
        plot=p("cal_ms_plot"),
    log:
        log_of("convert_calibrator", "{day}/{calset}"),
    benchmark:
        benchmark_of("convert_calibrator", "{day}/{calset}")
    conda:
        "../envs/convert.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        calibrator=lambda w: PLAN["calsets"][w.calset]["calibrator"],
        flags=flags(CONFIG, "convert"),
        code=code("convert"),
    shell:
        "contimg convert --manifest {input.manifest} --calibrator {params.calibrator}"
        " --calibrators {input.calibrators} --ms {output.ms} --record {output.record}"
        " --plot {output.plot} {params.flags} > {log} 2>&1"
