"""Mosaics and their validation.

Reads image, residual, primary beam and record of all tiles that the plan puts into a mosaic;
which of them are used, and why the others are not, is in the tile list it writes beside the maps.
The finished mosaic is then judged from its maps alone. `snakemake validated` takes every mosaic
of the plan that far, from the raw data; one of them is named by its validation record.
"""


localrules:
    validated,


rule validated:
    input:
        [path("mosaic_validation", RESULTS, mosaic=name) for name in PLAN["mosaics"]],


rule mosaic_tiles:
    input:
        images=lambda w: tile_paths("image", tiles_of(w.mosaic)),
        residuals=lambda w: tile_paths("residual", tiles_of(w.mosaic)),
        pbs=lambda w: tile_paths("pb", tiles_of(w.mosaic)),
        records=lambda w: tile_paths("image_record", tiles_of(w.mosaic)),
    output:
        image=p("mosaic"),
        residual=p("mosaic_residual"),
        weight=p("mosaic_weight"),
        rms=p("mosaic_rms"),
        coverage=p("mosaic_coverage"),
        mjd=p("mosaic_mjd"),
        time=p("mosaic_time"),
        freq=p("mosaic_freq"),
        tiles=p("mosaic_tiles"),
        plot=report(
            p("mosaic_plot"),
            caption="captions/mosaic.rst",
            category="Mosaics",
            labels={"mosaic": "{mosaic}"},
        ),
        record=p("mosaic_record"),
    log:
        log_of("mosaic_tiles", "{mosaic}"),
    benchmark:
        benchmark_of("mosaic_tiles", "{mosaic}")
    conda:
        "../envs/mosaic.yaml"
    threads: lambda w: 1 if len(tiles_of(w.mosaic)) < 4 else 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        flags=flags(CONFIG, "mosaic"),
        decisions=decisions_of,
        code=code("mosaic"),
    shell:
        "contimg mosaic --image {output.image} --residual {output.residual}"
        " --weight {output.weight} --rms {output.rms} --coverage {output.coverage}"
        " --mjd {output.mjd} --time {output.time} --freq {output.freq} --tiles {output.tiles}"
        " --plot {output.plot} --record {output.record} --threads {threads} {params.flags}"
        " --images {input.images} --residuals {input.residuals} --pbs {input.pbs}"
        " --image-records {input.records} > {log} 2>&1"


rule validate_mosaic:
    input:
        image=p("mosaic"),
        residual=p("mosaic_residual"),
        weight=p("mosaic_weight"),
        rms=p("mosaic_rms"),
        coverage=p("mosaic_coverage"),
        tiles=p("mosaic_tiles"),
        plot=p("mosaic_plot"),
        record=p("mosaic_record"),
    output:
        plot=p("mosaic_validation_plot"),
        page=p("mosaic_page"),
        record=p("mosaic_validation"),
    log:
        log_of("validate_mosaic", "{mosaic}"),
    benchmark:
        benchmark_of("validate_mosaic", "{mosaic}")
    conda:
        "../envs/mosaic.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        flags=flags(CONFIG, "mosaic validate"),
        code=code("mosaic validate"),
    shell:
        "contimg mosaic validate --image {input.image} --residual {input.residual}"
        " --weight {input.weight} --rms {input.rms} --coverage {input.coverage}"
        " --tiles {input.tiles} --mosaic-plot {input.plot} --mosaic-record {input.record}"
        " --plot {output.plot} --page {output.page} --record {output.record} {params.flags}"
        " > {log} 2>&1"
