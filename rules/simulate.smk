"""Known skies.

Reads nothing but the config (section simulate). Writes the catalogue and the truth, and the raw
UVH5 files of a group together with its manifest, in place of an observation.
"""

if CONFIG.simulate.enabled:

    rule simulate_sky:
        output:
            catalog=p("sky"),
            truth=p("truth"),
        log:
            log_of("simulate_sky", "sky"),
        benchmark:
            benchmark_of("simulate_sky", "sky")
        conda:
            "../envs/simulate.yaml"
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            **depends_on("simulate-sky"),
            flags=flags_of("simulate-sky"),
        shell:
            "contimg simulate-sky --catalog {output.catalog:q} --truth {output.truth:q}"
            " {params.flags} > {log:q} 2>&1"

    rule simulate_group:
        input:
            catalog=p("sky"),
        output:
            manifest=p("manifest"),
        log:
            log_of("simulate_group", "{day}/{group}"),
        benchmark:
            benchmark_of("simulate_group", "{day}/{group}")
        conda:
            "../envs/simulate.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 2500,
            runtime=20,
        params:
            **depends_on("simulate"),
            raw_dir=Unwatched(CONFIG.discover.raw_dir),
            flags=flags_of("simulate"),
        shell:
            "contimg simulate --catalog {input.catalog:q} --group {wildcards.group:q}"
            " --out-dir {params.raw_dir:q} --manifest {output.manifest:q}"
            " {params.flags} > {log:q} 2>&1"
