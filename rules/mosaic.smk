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
        made("validated"),


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
        mem_mb=lambda wildcards, attempt: attempt * mosaic_memory(wildcards.mosaic),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        **depends_on("mosaic"),
        flags=flags_of("mosaic"),
        decisions=decisions_of,
    shell:
        "contimg mosaic --image {output.image:q} --residual {output.residual:q}"
        " --weight {output.weight:q} --rms {output.rms:q} --coverage {output.coverage:q}"
        " --mjd {output.mjd:q} --time {output.time:q} --freq {output.freq:q} --tiles {output.tiles:q}"
        " --plot {output.plot:q} --record {output.record:q} --threads {threads} {params.flags}"
        " --images {input.images:q} --residuals {input.residuals:q} --pbs {input.pbs:q}"
        " --image-records {input.records:q} > {log:q} 2>&1"


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
        **depends_on("mosaic validate"),
        flags=flags_of("mosaic validate"),
    shell:
        "contimg mosaic validate --image {input.image:q} --residual {input.residual:q}"
        " --weight {input.weight:q} --rms {input.rms:q} --coverage {input.coverage:q}"
        " --tiles {input.tiles:q} --mosaic-plot {input.plot:q} --mosaic-record {input.record:q}"
        " --plot {output.plot:q} --page {output.page:q} --record {output.record:q} {params.flags}"
        " > {log:q} 2>&1"
