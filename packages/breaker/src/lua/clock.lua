-- Time comes from Redis only, in whole milliseconds. Tests put another clock in this file's place.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
