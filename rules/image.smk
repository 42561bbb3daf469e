"""Imaging.

Reads a calibrated MS; writes image, residual, point-spread function, model, the primary beam
averaged over the tile's drift, the corrected image, a preview and the record with its QA.
Tiles run side by side, each on one processor, which is the best use of a machine with more tiles
than processors; for a single tile in a hurry, `--set-threads image_tile=8`.
"""


rule image_tile:
    input:
        ms=p("calibrated_ms"),
        record=p("calibrated_record"),
    output:
        image=p("image"),
        residual=p("residual"),
        psf=p("psf"),
        model=p("model"),
        pb=p("pb"),
        pbcor=p("pbcor"),
        plot=report(
            p("image_plot"),
            caption="captions/tile.rst",
            category="Tiles",
            labels={"tile": "{group}", "tier": "{tier}"},
        ),
        record=p("image_record"),
    log:
        log_of("image_tile", "{day}/{group}.{tier}"),
    benchmark:
        benchmark_of("image_tile", "{day}/{group}.{tier}")
    group:
        "tile"
    conda:
        "../envs/image.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        flags=flags(CONFIG, "image"),
        code=code("image"),
    shell:
        "contimg image --ms {input.ms} --ms-record {input.record} --image {output.image}"
        " --residual {output.residual} --psf {output.psf} --model {output.model}"
        " --pb {output.pb} --pbcor {output.pbcor} --plot {output.plot}"
        " --record {output.record} --threads {threads} {params.flags} > {log} 2>&1"
