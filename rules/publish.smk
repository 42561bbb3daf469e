"""Publishing.

Reads a mosaic, its maps, its validation and its photometry with their records; copies what passes
into one directory with a checksummed manifest, all at once or not at all.
"""


rule publish_mosaic:
    input:
        products=[
            p(name)
            for name in (
                "mosaic",
                "mosaic_residual",
                "mosaic_weight",
                "mosaic_rms",
                "mosaic_coverage",
                "mosaic_mjd",
                "mosaic_time",
                "mosaic_freq",
                "mosaic_tiles",
                "mosaic_plot",
                "mosaic_page",
                "photometry",
            )
        ],
        records=[p("mosaic_record"), p("mosaic_validation"), p("photometry_record")],
    output:
        manifest=p("published"),
        record=p("published_record"),
    log:
        log_of("publish_mosaic", "{mosaic}"),
    benchmark:
        benchmark_of("publish_mosaic", "{mosaic}")
    conda:
        "../envs/publish.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        **depends_on("publish-files"),
        decision=publication_decision,
        flags=flags_of("publish-files"),
    shell:
        "contimg publish-files --manifest {output.manifest:q} --record {output.record:q}"
        " {params.flags} --products {input.products:q} --records {input.records:q} > {log:q} 2>&1"
