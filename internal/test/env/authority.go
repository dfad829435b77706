package env

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority is the certificate authority of one test. The functions in this file
// panic if they cannot write a file.
type Authority struct {
	File string // its certificate, in PEM

	dir         string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// A KeyPair is a certificate and its private key, in PEM files.
type KeyPair struct{ Cert, Key string }

// NewAuthority returns a new authority.
func NewAuthority(t testing.TB) *Authority {
	dir := t.TempDir()
	certificate := newCertificate("Test Authority")
	certificate.IsCA, certificate.KeyUsage = true, x509.KeyUsageCertSign
	a := &Authority{File: filepath.Join(dir, "ca.pem"), dir: dir, key: newKey(), certificate: certificate}
	writePEM(a.File, "CERTIFICATE", a.sign(certificate, a.key))
	return a
}

// Issue returns a new certificate for servers and clients. It is valid for an
// hour, and for localhost and 127.0.0.1, unless change says otherwise.
func (a *Authority) Issue(change ...func(*x509.Certificate)) KeyPair {
	dir, err := os.MkdirTemp(a.dir, "pair")
	must(err)
	pair := newKeyPair(dir)
	a.Renew(pair, change...)
	return pair
}

// Renew writes another certificate and key to the files of a KeyPair.
func (a *Authority) Renew(pair KeyPair, change ...func(*x509.Certificate)) {
	leaf, key := newLeaf(), newKey()
	for _, f := range change {
		f(leaf)
	}
	pair.write(a.sign(leaf, key), key)
}

// SelfSigned returns a certificate like that of Issue, but signed by its own key.
func SelfSigned(t testing.TB) KeyPair { return SelfSignedIn(t.TempDir()) }

// SelfSignedIn is SelfSigned with the files in a directory.
func SelfSignedIn(dir string) KeyPair {
	a := Authority{key: newKey(), certificate: newLeaf()}
	pair := newKeyPair(dir)
	pair.write(a.sign(a.certificate, a.key), a.key)
	return pair
}

// Expired makes a certificate expire a minute ago.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// OnlyFor makes a certificate valid for one host name and nothing else.
func OnlyFor(host string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{host}, nil }
}

func newLeaf() *x509.Certificate {
	c := newCertificate("localhost")
	c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return c
}

// newCertificate returns a template of all certificates. It is valid since an hour
// ago, so that Expired can make it end before now.
func newCertificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
	}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func (a *Authority) sign(certificate *x509.Certificate, key *ecdsa.PrivateKey) (der []byte) {
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, &key.PublicKey, a.key)
	must(err)
	return der
}

func newKeyPair(dir string) KeyPair {
	return KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
}

func (p KeyPair) write(certificate []byte, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	writePEM(p.Cert, "CERTIFICATE", certificate)
	writePEM(p.Key, "PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) {
	must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func must(err error) {
	if err != nil {
		panic(fmt.Errorf("making a certificate: %w", err))
	}
}
