"""From DSA-110 visibilities to calibrated images, mosaics, light curves and ESE candidates.

The config is layered: config/config.yaml holds every key with its default; files given with
--configfile change some of them. What exists and what is to be made of it is planned before any
job runs (contimg discover), so that `snakemake -n` shows the whole of a run.
"""

import gc
import sys

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.19")

# Of the millions of objects of a month's DAG none is garbage before the end of the run: to look
# through them often would be a sixth of what planning costs.
gc.set_threshold(200_000, 50, 50)

sys.path.insert(0, f"{workflow.basedir}/scripts")

from contimg.environment import prepare

prepare(workflow.basedir)


configfile: f"{workflow.basedir}/config/config.yaml"


# with --sdm apptainer; made from containers/contimg.def
IMAGE = f"{workflow.basedir}/containers/contimg.sif"
if " " not in IMAGE:

    container: IMAGE

elif DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        f"{IMAGE}: Snakemake takes no container below a path with a blank; move the checkout"
    )


include: "rules/common.smk"
include: "rules/simulate.smk"
include: "rules/discover.smk"
include: "rules/convert.smk"
include: "rules/calibrate.smk"
include: "rules/calset.smk"
include: "rules/image.smk"
include: "rules/mosaic.smk"
include: "rules/field_model.smk"
include: "rules/photometry.smk"
include: "rules/variability.smk"
include: "rules/check.smk"
include: "rules/publish.smk"
include: "rules/report.smk"


localrules:
    all,
    converted,
    calsets,
    calibrated,
    tiles,
    mosaics,
    photometry,
    candidates,


rule all:
    default_target: True
    input:
        path("report", RESULTS),
        path("status", RESULTS),
        everything(),


rule converted:
    input:
        made("converted"),


rule calsets:
    input:
        made("solved", "inspected"),


rule calibrated:
    input:
        made("calibrated"),


rule tiles:
    input:
        made("tiles"),


rule mosaics:
    input:
        made("mosaics"),


rule photometry:
    input:
        made("photometry"),


rule candidates:
    input:
        [path(name, RESULTS) for name in CANDIDATES],
