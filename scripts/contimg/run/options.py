"""The options that a plan depends on, in the order of the commands that make one."""

from contimg.calibrate.options import ScaleOptions
from contimg.core.instrument import InstrumentOptions
from contimg.discover.options import DiscoverOptions
from contimg.mosaic.options import MosaicOptions
from contimg.plan.options import PlanOptions
from contimg.simulate.options import SimulateOptions

OPTIONS = (
    InstrumentOptions,
    DiscoverOptions,
    PlanOptions,
    MosaicOptions,
    SimulateOptions,
    ScaleOptions,
)
