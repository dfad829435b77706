// Package devpage is the page of scout dev in a browser: what became of each
// message, publishing and replaying messages, and what waits in Sidekiq's Redis.
// Start at [Page].
//
// The page trusts nothing that it shows. All text of others is escaped by package
// printable and inserted as text, a Content-Security-Policy allows scripts and
// connections of this server only, and memory is bounded. Whoever can reach the
// server sees the content of messages, so serve it on loopback addresses, behind
// devstack.LocalOnly.
package devpage
