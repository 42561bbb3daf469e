"""Imaging.

Reads a calibrated MS and the catalogue; writes image, residual, point-spread function, model, the
primary beam averaged over the tile's drift, the corrected image, the noise, a preview, a page and
the record with its QA. docs/imaging.md explains tiers, masks and checks.
Tiles run side by side, each on one processor, which is the best use of a machine with more tiles
than processors; for a single tile in a hurry, `--set-threads image_tile=8`.
"""

import shlex

# the images of the parts of the band, where there is more than one
CUBE = {"cube": p("image_cube")} if (CONFIG.image.channels_out or 1) > 1 else {}

# sources that were fitted to the tile already are not fitted again
FIT = {}
if CONFIG.image.backend == "residual" and CONFIG.photometry_method == "visibilities":
    FIT = {"fit": p("tile_model"), "fit_record": p("tile_fluxes_record")}


rule image_tile:
    input:
        **FIT,
        ms=p("calibrated_ms"),
        record=p("calibrated_record"),
        field_model=table_input(CONFIG.field_model),
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
        **depends_on("image"),
        field=field_model,
        flags=flags_of("image"),
        fit=lambda wildcards, input: Unwatched(
            shlex.join(["--fit", input.fit, "--fit-record", input.fit_record])
            if FIT
            else ""
        ),
        cube=lambda wildcards, output: Unwatched(
            shlex.join(["--cube", output.cube]) if CUBE else ""
        ),
    shell:
        "contimg image --ms {input.ms:q} --ms-record {input.record:q} --catalog {input.field_model:q}"
        " --image {output.image:q} --residual {output.residual:q} --psf {output.psf:q}"
        " --model {output.model:q} --pb {output.pb:q} --pbcor {output.pbcor:q} --rms {output.rms:q}"
        " --plot {output.plot:q} --page {output.page:q} --record {output.record:q}"
        " --threads {threads} {params.fit} {params.cube} {params.flags} > {log:q} 2>&1"
