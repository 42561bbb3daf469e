"""Photometry.

By `photometry_method`: `image` reads a mosaic with its noise, residual and time maps, and the
catalogue, and measures at the catalogued positions; `visibilities` fits all sources to each
calibrated Measurement Set and combines the tiles of a mosaic. Either writes the table of flux
densities of the mosaic. docs/photometry.md explains both.
"""

if CONFIG.photometry_method == "visibilities":

    rule fit_tile:
        input:
            ms=p("calibrated_ms"),
            record=p("calibrated_record"),
            catalog=CONFIG.catalog,
        output:
            table=p("tile_fluxes"),
            new=p("tile_new"),
            record=p("tile_fluxes_record"),
        log:
            log_of("fit_tile", "{day}/{group}"),
        benchmark:
            benchmark_of("fit_tile", "{day}/{group}")
        group:
            "tile"
        conda:
            "../envs/photometry.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 3000,
            runtime=lambda wildcards, attempt: attempt * 60,
        params:
            flags=flags(CONFIG, "photometry tile"),
            code=code("photometry tile"),
        shell:
            "contimg photometry tile --ms {input.ms} --ms-record {input.record}"
            " --catalog {input.catalog} --table {output.table} --new {output.new}"
            " --record {output.record} --threads {threads} {params.flags} > {log} 2>&1"

    rule measure_photometry:
        input:
            tables=lambda w: tile_paths("tile_fluxes", tiles_of(w.mosaic)),
            records=lambda w: tile_paths("tile_fluxes_record", tiles_of(w.mosaic)),
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
            mem_mb=lambda wildcards, attempt: attempt * 1000,
            runtime=lambda wildcards, attempt: attempt * 30,
        params:
            code=code("photometry combine"),
        shell:
            "contimg photometry combine --mosaic {wildcards.mosaic} --table {output.table}"
            " --record {output.record} --tables {input.tables} --records {input.records}"
            " > {log} 2>&1"

else:

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
