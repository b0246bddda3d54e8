/** What an attempt showed of the upstream's health. Only this feeds the breaker. */
export type Health = 'up' | 'down' | 'unknown';
