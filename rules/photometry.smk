"""Forced photometry.

Reads a mosaic with its noise, residual and time maps, and the catalogue; writes a table of flux
densities at the catalogued positions.
"""


rule measure_photometry:
    input:
        mosaic=p("mosaic"),
        residual=p("mosaic_residual"),
        rms=p("mosaic_rms"),
        mjd=p("mosaic_mjd"),
        record=p("mosaic_record"),
        catalog=CONFIG.catalog,
    output:
        table=p("photometry"),
        record=p("photometry_record"),
    log:
        log_of("measure_photometry", "{mosaic}"),
    benchmark:
        benchmark_of("measure_photometry", "{mosaic}")
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        flags=flags(CONFIG, "photometry"),
        code=code("photometry"),
    shell:
        "contimg photometry --mosaic {input.mosaic} --residual {input.residual}"
        " --rms {input.rms} --mjd {input.mjd} --mosaic-record {input.record}"
        " --catalog {input.catalog} --table {output.table} --record {output.record}"
        " {params.flags} > {log} 2>&1"
