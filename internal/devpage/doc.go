// Package devpage is the page of scout dev in a browser. It shows each message and
// its jobs, publishes and replays messages, and shows the jobs that wait in Redis.
// Start at [Page].
//
// The page trusts no text that it shows. Package printable escapes it, the browser
// inserts it as text, a Content-Security-Policy allows scripts and connections of this
// server only, and memory is bounded. Everyone who can reach the server can read the
// messages, so serve it on loopback addresses, behind devstack.LocalOnly.
package devpage
