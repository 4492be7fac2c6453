package frost

import "testing"

// The phases of signing, 4 of 5, for profiles; bench/ has the figures beside the peers.
func BenchmarkSigning(b *testing.B) {
	for _, suite := range Suites() {
		shares := runDKG(b, suite, 4, ids(5))
		public, message := shares[1].Public(), []byte("0123456789abcdef0123456789abcdef")
		b.Run(suite.Name()+"/round1", func(b *testing.B) {
			for b.Loop() {
				shares[1].Commit()
			}
		})
		var nonces []*Nonces
		var commitments []Commitment
		for _, id := range ids(4) {
			n := shares[id].Commit()
			nonces, commitments = append(nonces, n), append(commitments, n.Commitment())
		}
		pkg, err := NewSigningPackage(public, commitments, message, Derivation{})
		if err != nil {
			b.Fatal(err)
		}
		var partials []Partial
		for i, id := range ids(4) {
			p, err := shares[id].Sign(pkg, nonces[i])
			if err != nil {
				b.Fatal(err)
			}
			partials = append(partials, p)
		}
		b.Run(suite.Name()+"/package", func(b *testing.B) {
			for b.Loop() {
				if _, err := NewSigningPackage(public, commitments, message, Derivation{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(suite.Name()+"/combine", func(b *testing.B) {
			for b.Loop() {
				if _, err := pkg.Combine(partials); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(suite.Name()+"/verify one", func(b *testing.B) {
			for b.Loop() {
				if err := pkg.Verify(partials[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
