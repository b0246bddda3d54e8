-- Returns Redis' time in whole milliseconds. Tests replace this file with a clock that they set.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
