package bed

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

// SecureRegistry is a registry as companies have it: TLS with a CA of their own,
// and a password.
type SecureRegistry struct {
	// Host is what a reference to an image in it starts with.
	Host string
	// CA is the file with the certificate of the CA.
	CA string
	// Login is the user and the password, with a colon between them.
	Login string
}

const secureConfig = `
version: 0.1
log:
  level: info
storage:
  filesystem:
    rootdirectory: %[1]s/data
auth:
  htpasswd:
    realm: registry
    path: %[1]s/htpasswd
http:
  addr: %[2]s:0
  tls:
    certificate: %[1]s/cert.pem
    key: %[1]s/key.pem
`

// htpasswd has the password "secret" of the user "user".
const htpasswd = "user:$2a$05$MOX7H0c/qYYEoH5rFwkfSu/DCE7vzqidpX2jHdQm5zhIpWkQuCCm6\n"

// NewSecureRegistry starts one. It listens on an address of the machine that is
// not the loopback interface's: there, clients take plain HTTP for granted.
func (b *Bed) NewSecureRegistry(t testing.TB) *SecureRegistry {
	t.Helper()
	ip := outward(t)
	dir := t.TempDir()
	if err := writeCertificates(dir, ip); err != nil {
		t.Fatalf("making certificates: %v", err)
	}
	for name, text := range map[string]string{"htpasswd": htpasswd, "config.yml": fmt.Sprintf(secureConfig, dir, ip)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatalf("writing the registry's configuration: %v", err)
		}
	}
	daemon, err := startProcess("registry", filepath.Join(dir, "log"), []string{"OTEL_TRACES_EXPORTER=none"}, b.tools.registry,
		"serve", filepath.Join(dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.stop(); err != nil {
			t.Error(err)
		}
	})
	r := &SecureRegistry{CA: filepath.Join(dir, "ca.pem"), Login: "user:secret"}
	err = daemon.waitFor(func() bool {
		match := listening.FindStringSubmatch(daemon.output())
		if match != nil {
			r.Host = match[1]
		}
		return match != nil
	}, 30*time.Second)
	if err != nil {
		t.Fatalf("waiting for the registry: %v", err)
	}
	return r
}

// Builder is the configuration by which a builder trusts the registry.
func (r *SecureRegistry) Builder() string {
	return fmt.Sprintf("[registry.%q]\n  ca = [%q]\n", r.Host, r.CA)
}

func outward(t testing.TB) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatalf("looking for the machine's addresses: %v", err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("the machine has no address but the loopback interface's")
	}
	t.Skip("the machine has no address but the loopback interface's")
	return ""
}

// writeCertificates makes a CA and a certificate of it for an address.
func writeCertificates(dir, ip string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test bed's CA"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ip}, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.ParseIP(ip)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: caDER},
		"cert.pem": {Type: "CERTIFICATE", Bytes: leafDER},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
