--[[
AOFlagger strategy for the drift scans of DSA-110: 24 integrations of one baseline.

Flags that are there on entry are excluded from all statistics and stay: nothing here clears a
mask. There are too few integrations for AOFlagger alone; a clip against each baseline's own
scatter (step mad_clip) should follow.

The global variables are set by `contimg convert` (options flag.aoflagger_*) with -preamble.
]]

aoflagger.require_min_version("3.1")

base_threshold = base_threshold or 1.2 -- lower finds more
iterations = iterations or 4 -- passes, each more sensitive than the one before
transient_factor = transient_factor or 0.8 -- on the threshold in time; lower finds more
frequency_resize = frequency_resize or 2.0 -- channels averaged before the background is fitted

local step = 2.0 -- ratio of the thresholds of two passes
local rms_of_times, rms_of_channels = 3.5, 3.0 -- sigma
local window_times, window_channels = 21, 31 -- of the fit to the background
local sigma_times, sigma_channels = 2.5, 5.0

-- loud samples, integrations and channels of `data`, whose mask grows
local function detect(data, original, factor)
  local level = factor * base_threshold
  aoflagger.sumthreshold_masked(data, original, level, level * transient_factor, true, true)
end

local function drop_rms(data, factor)
  local channels = data:copy()
  aoflagger.threshold_timestep_rms(data, rms_of_times)
  aoflagger.threshold_channel_rms(channels, rms_of_channels * factor, true)
  data:join_mask(channels)
end

-- `original` minus its smooth background, fitted to what `data` has not masked
local function flatten(data, original)
  data:set_visibilities(original)
  data:join_mask(original)
  local small = aoflagger.downsample(data, 1, frequency_resize, true)
  aoflagger.low_pass_filter(small, window_times, window_channels, sigma_times, sigma_channels)
  aoflagger.upsample(small, data, 1, frequency_resize)
  local rest = original - data
  rest:set_mask(data)
  return rest
end

function execute(input)
  local before = input:copy()
  for _, polarization in ipairs(input:get_polarizations()) do
    local original = input:convert_to_polarization(polarization):convert_to_complex("amplitude")
    local data = original:copy()
    for pass = 1, iterations - 1 do
      local factor = step ^ (iterations - pass)
      detect(data, original, factor)
      drop_rms(data, factor)
      data = flatten(data, original)
    end
    detect(data, original, 1.0)
    input:set_polarization_data(polarization, data:convert_to_complex("complex"))
  end
  aoflagger.scale_invariant_rank_operator_masked(input, before, 0.2, 0.2)
  aoflagger.threshold_timestep_rms(input, 4.0)
  input:join_mask(before)
  input:flag_nans()
end
