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
            targets=table_input(CONFIG.targets),
            field_model=table_input(CONFIG.field_model),
            deep=deep_model,
        output:
            table=p("tile_fluxes"),
            model=p("tile_model"),
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
            **depends_on("photometry tile"),
            targets=lambda w: table_content(CONFIG.targets),
            field=field_model,
            flags=flags_of("photometry tile"),
        shell:
            "contimg photometry tile --ms {input.ms:q} --ms-record {input.record:q}"
            " --catalog {input.targets:q} --field-model {input.field_model:q} --deep {input.deep:q}"
            " --table {output.table:q} --model {output.model:q} --new {output.new:q}"
            " --record {output.record:q} --threads {threads} {params.flags} > {log:q} 2>&1"

    rule measure_photometry:
        input:
            tables=lambda w: tile_paths("tile_fluxes", tiles_of(w.mosaic)),
            records=lambda w: tile_paths("tile_fluxes_record", tiles_of(w.mosaic)),
            images=lambda w: tile_paths("image_record", tiles_of(w.mosaic)),
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
            **depends_on("photometry combine"),
        shell:
            "contimg photometry combine --mosaic {wildcards.mosaic:q} --table {output.table:q}"
            " --record {output.record:q} --tables {input.tables:q} --records {input.records:q}"
            " --images {input.images:q} > {log:q} 2>&1"

else:

    rule measure_photometry:
        input:
            mosaic=p("mosaic"),
            residual=p("mosaic_residual"),
            rms=p("mosaic_rms"),
            mjd=p("mosaic_mjd"),
            record=p("mosaic_record"),
            targets=table_input(CONFIG.targets),
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
            **depends_on("photometry"),
            targets=targets_near,
            flags=flags_of("photometry"),
        shell:
            "contimg photometry --mosaic {input.mosaic:q} --residual {input.residual:q}"
            " --rms {input.rms:q} --mjd {input.mjd:q} --mosaic-record {input.record:q}"
            " --catalog {input.targets:q} --table {output.table:q} --record {output.record:q}"
            " {params.flags} > {log:q} 2>&1"
