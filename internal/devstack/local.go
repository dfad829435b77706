package devstack

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"scout/internal/printable"
)

// LocalOnly protects the handler of a Server that listens at an address (host:port) from web pages in
// the developer's browser. It responds with 403 Forbidden to
//
//   - requests that change something and come from another origin, by Sec-Fetch-Site or Origin. SDKs
//     and the AWS CLI send neither header.
//   - requests for a Host that is neither a loopback name or address nor the host in address. A page
//     whose name resolves to this machine (DNS rebinding) has the same origin as the Server, but not
//     such a Host.
//
// If the Server listens on all interfaces, its Host may also be any IP address, a name without a dot,
// such as a container's, or host.docker.internal: an attacker's page has none of these as its host.
func LocalOnly(h http.Handler, address string) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	listen := hostname(address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalHost(hostname(r.Host), listen) {
			http.Error(w, fmt.Sprintf("the host %q is not this server's; use localhost, or listen on all interfaces or on that name",
				printable.Text(r.Host, 256)), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostname returns the host of host:port, where the port is optional, in lower case and without the
// brackets of an IPv6 address or a trailing dot.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isLocalHost reports whether host may be the Host of requests to a Server that listens at the host
// listen.
func isLocalHost(host, listen string) bool {
	ip, err := netip.ParseAddr(host)
	isIP := err == nil
	listenIP, err := netip.ParseAddr(listen)
	onAllInterfaces := listen == "" || err == nil && listenIP.IsUnspecified()
	switch {
	case host == "":
		return false
	case host == listen, host == "localhost", strings.HasSuffix(host, ".localhost"), isIP && ip.Unmap().IsLoopback():
		return true
	case onAllInterfaces:
		return isIP || !strings.Contains(host, ".") || host == "host.docker.internal"
	default:
		return isIP && ip == listenIP // another spelling of it
	}
}
