package sidekiq

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// TLS says how a client and its servers prove to each other who they are. The
// zero value trusts the system's certificate authorities and has no certificate
// of its own. It only matters for the URLs rediss:// and valkeys://.
//
// The files are read again for each new connection, so replacing them takes
// effect without a restart. While the new ones cannot be read, or a certificate
// and its key do not fit together, the previous ones stay in use.
type TLS struct {
	CA         string // a PEM file with the certificate authorities to trust instead of the system's; also a self-signed certificate
	Cert, Key  string // PEM files with the client's certificate and its key, both or neither
	ServerName string // the name in the server's certificate, if it is not the host
	SkipVerify bool   // accept any certificate: the connection is encrypted, but its other end is unknown
}

// maxPEM is the maximum size of a file in bytes. A bundle of all public
// authorities is several times smaller.
const maxPEM = 4 << 20

// tlsSettings make the configuration of each TLS connection.
type tlsSettings struct {
	options TLS

	mu       sync.Mutex // guards the fields below
	contents [3][]byte  // of the files CA, Cert and Key, as they are in use
	roots    *x509.CertPool
	pairs    []tls.Certificate
	stale    error // why the current files are not in use; nil if they are
}

// newTLSSettings reads the files for the first time.
func newTLSSettings(o TLS) (*tlsSettings, error) {
	s := &tlsSettings{options: o}
	return s, s.update()
}

// config returns the configuration for a connection to an address.
func (s *tlsSettings) config(address string) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = s.update()
	name := s.options.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(address)
		name, _, _ = strings.Cut(name, "%") // certificates have no zones
		name = strings.TrimSuffix(name, ".")
	}
	return &tls.Config{ServerName: name, RootCAs: s.roots, Certificates: s.pairs, InsecureSkipVerify: s.options.SkipVerify}
}

// update reads the files. If they have changed, the new ones are used from now on,
// all or none of them.
func (s *tlsSettings) update() error {
	var contents [3][]byte
	for i, name := range []string{s.options.CA, s.options.Cert, s.options.Key} {
		var err error
		if contents[i], err = readPEM(name); err != nil {
			return err
		}
	}
	ca, cert, key := contents[0], contents[1], contents[2]
	roots, pairs := s.roots, s.pairs
	if !bytes.Equal(ca, s.contents[0]) {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca) {
			return fmt.Errorf("the file %s contains no certificate in PEM form", s.options.CA)
		}
	}
	if !bytes.Equal(cert, s.contents[1]) || !bytes.Equal(key, s.contents[2]) {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("the files %s and %s are not a certificate and its key in PEM form: %s", s.options.Cert, s.options.Key, strings.TrimPrefix(err.Error(), "tls: "))
		}
		pairs = []tls.Certificate{pair}
	}
	s.contents, s.roots, s.pairs = contents, roots, pairs
	return nil
}

// readPEM reads a file. It returns nil if the name is empty. An empty file is an
// error.
func readPEM(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, fmt.Errorf("the file %s is empty", name)
	case len(text) > maxPEM:
		return nil, fmt.Errorf("the file %s is larger than %d MiB", name, maxPEM>>20)
	}
	return text, nil
}

// note returns the end of a TLS error, which says why the current files are not
// in use.
func (s *tlsSettings) note() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale == nil {
		return ""
	}
	return "; the changed files are not in use: " + s.stale.Error()
}

// certificateAdvice says which of authority, name and date is wrong about a
// server's certificate, and what to do.
func certificateAdvice(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its authority is not trusted; set redis.tls.ca to a file with the authority's certificate"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its name is not the host's; check the host of the Redis URL, or set redis.tls.server_name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "its date is wrong; renew it, and check this machine's clock"
	}
	return "check the host of the Redis URL and redis.tls.ca"
}

// isAlert reports whether the server has ended TLS with an alert.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" // crypto/tls exports no type
}
