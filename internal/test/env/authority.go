package env

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority is a certificate authority of one test.
type Authority struct {
	File string // its certificate, in PEM

	t           testing.TB
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// A KeyPair is a certificate and its private key, in PEM files. An Authority's
// File is all that is needed to verify it.
type KeyPair struct{ Cert, Key string }

// NewAuthority returns a new authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	template := newCertificate(t, "Test Authority")
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	a := &Authority{t: t, key: newKey(t), certificate: template}
	der := a.sign(template, a.key)
	a.File = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, a.File, "CERTIFICATE", der)
	return a
}

// Issue returns a certificate for servers and clients that is valid for an hour
// and for localhost and 127.0.0.1, unless change says otherwise.
func (a *Authority) Issue(change ...func(*x509.Certificate)) KeyPair {
	a.t.Helper()
	dir := a.t.TempDir()
	pair := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	a.Renew(pair, change...)
	return pair
}

// Renew writes another certificate and key to the files of a KeyPair.
func (a *Authority) Renew(pair KeyPair, change ...func(*x509.Certificate)) {
	a.t.Helper()
	template, key := newLeaf(a.t), newKey(a.t)
	for _, f := range change {
		f(template)
	}
	writePair(a.t, pair, a.sign(template, key), key)
}

// SelfSigned returns a certificate like one of Issue that no authority signed.
func SelfSigned(t testing.TB) KeyPair {
	t.Helper()
	template := newLeaf(t)
	a := &Authority{t: t, key: newKey(t), certificate: template}
	dir := t.TempDir()
	pair := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writePair(t, pair, a.sign(template, a.key), a.key)
	return pair
}

// Expired makes Issue return a certificate that was valid until a minute ago.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// OnlyFor makes Issue return a certificate that is valid only for a host name.
func OnlyFor(host string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{host}, nil }
}

func newLeaf(t testing.TB) *x509.Certificate {
	t.Helper()
	c := newCertificate(t, "localhost")
	c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return c
}

// newCertificate returns the part that all certificates have. It has been valid
// for some time, so that Expired can make it one that has ended.
func newCertificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *Authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (der []byte) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func writePair(t testing.TB, pair KeyPair, certificate []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, pair.Cert, "CERTIFICATE", certificate)
	writePEM(t, pair.Key, "PRIVATE KEY", der)
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
