"""From UVH5 to Measurement Sets: of calibrators, and of tiles where these are not calibrated in
one pass (rules/calibrate.smk); there a tile's is made when it is asked for by its name.

Reads a group's manifest, which lists its subband files; what these hold (their headers and samples
of their data) is a parameter, so that a touch makes nothing again and data delivered anew do.
Writes the tile's MS (phased to its centre), or a calibrator's (phased to the calibrator), each
flagged and with its record. An MS is never changed once it is there.
"""


rule convert_tile:
    input:
        simulated,
    output:
        **conversion(),
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
        **depends_on("convert"),
        manifest=lambda w: Unwatched(manifest_of(w)),
        raw=raw_content,
        flags=flags_of("convert"),
        products=lambda w, output: as_flags(output, conversion()),
    shell:
        "contimg convert --manifest {params.manifest:q} {params.products} {params.flags}"
        " > {log:q} 2>&1"


rule convert_calibrator:
    input:
        simulated,
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
        **depends_on("convert"),
        calibrator=calibrator_of,
        calibrators=Unwatched(CALIBRATORS),
        row=calibrator_row,
        manifest=lambda w: Unwatched(manifest_of(w)),
        raw=raw_content,
        flags=flags_of("convert"),
    shell:
        "contimg convert --manifest {params.manifest:q} --calibrator {params.calibrator:q}"
        " --calibrators {params.calibrators:q} --ms {output.ms:q} --record {output.record:q}"
        " --plot {output.plot:q} {params.flags} > {log:q} 2>&1"
