"""Imaging.

Reads a calibrated MS and the catalogue; writes image, residual, point-spread function, model, the
primary beam averaged over the tile's drift, the corrected image, the noise, a preview, a page and
the record with its QA. docs/imaging.md explains tiers, masks and checks.
Tiles run side by side, each on one processor, which is the best use of a machine with more tiles
than processors; for a single tile in a hurry, `--set-threads image_tile=8`.
"""

# the images of the parts of the band, where there is more than one
CUBE = {"cube": p("image_cube")} if (CONFIG.image.channels_out or 1) > 1 else {}


rule image_tile:
    input:
        ms=p("calibrated_ms"),
        record=p("calibrated_record"),
        catalog=CONFIG.catalog,
    output:
        **CUBE,
        image=p("image"),
        residual=p("residual"),
        psf=p("psf"),
        model=p("model"),
        pb=p("pb"),
        pbcor=p("pbcor"),
        rms=p("tile_rms"),
        plot=report(
            p("image_plot"),
            caption="captions/tile.rst",
            category="Tiles",
            labels={"tile": "{group}", "tier": "{tier}"},
        ),
        page=p("image_page"),
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
        cube=lambda wildcards, output: f"--cube {output.cube}" if CUBE else "",
        code=code("image"),
    shell:
        "contimg image --ms {input.ms} --ms-record {input.record} --catalog {input.catalog}"
        " --image {output.image} --residual {output.residual} --psf {output.psf}"
        " --model {output.model} --pb {output.pb} --pbcor {output.pbcor} --rms {output.rms}"
        " --plot {output.plot} --page {output.page} --record {output.record}"
        " --threads {threads} {params.cube} {params.flags} > {log} 2>&1"
