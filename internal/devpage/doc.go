// Package devpage serves the browser page of scout dev. The page shows each message and
// its jobs, publishes and replays messages, and shows the jobs that wait in Redis.
// Start at [Page].
//
// The page trusts none of the text that it shows. Package printable escapes it, and the
// browser inserts it as text. A Content-Security-Policy allows scripts and connections
// of this server only. Memory is bounded. Anyone who can reach the server can read the
// messages, so serve it on loopback addresses, behind devstack.LocalOnly.
package devpage
