"""Mosaics.

Reads image, residual, primary beam and record of all tiles that the plan puts into a mosaic;
which of them are used, and why the others are not, is in the tile list it writes beside the maps.
"""


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
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        flags=flags(CONFIG, "mosaic"),
        code=code("mosaic"),
    shell:
        "contimg mosaic --image {output.image} --residual {output.residual}"
        " --weight {output.weight} --rms {output.rms} --coverage {output.coverage}"
        " --mjd {output.mjd} --tiles {output.tiles} --plot {output.plot}"
        " --record {output.record} {params.flags} --images {input.images}"
        " --residuals {input.residuals} --pbs {input.pbs} --image-records {input.records}"
        " > {log} 2>&1"
