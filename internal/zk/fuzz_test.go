package zk

import (
	"bytes"
	"testing"
)

// fuzzParams have few repetitions, and a number of them that leaves bits of a byte over.
func fuzzParams() Params {
	p := small()
	p.Reps = 3
	return p
}

// fuzzProof holds what every decoder promises: what it reads has one encoding, the one that it was read from, and the verifier
// may be asked about it, whatever it is. A proof that passes is the honest one in all that the verifier looks at.
func fuzzProof(f *testing.F, p Params, e example) {
	f.Helper()
	honest := e.marshal()
	f.Add(honest)
	f.Add(honest[:len(honest)-1])
	f.Add(append(bytes.Clone(honest), 0))
	f.Add(make([]byte, len(honest)))
	f.Add(bytes.Repeat([]byte{1}, len(honest)))
	f.Add(bytes.Repeat([]byte{255}, len(honest)))
	for at := range 16 { // one byte of another value, in all fields of some length
		bad := bytes.Clone(honest)
		bad[at*len(bad)/16] ^= 1
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		proof, err := e.unmarshal(b)
		if err != nil {
			return
		}
		if !bytes.Equal(encodingOf(p, proof), b) {
			t.Errorf("%x is not the encoding of what was read", b)
		}
		if err := e.verify(p, context(), proof); err != nil && failed(err) == "" {
			t.Errorf("refused without a check: %v", err)
		} else if err == nil && !bytes.Equal(b, honest) && e.name != "mod" { // -x is a fourth root as well
			t.Errorf("another proof passes: %x", b)
		}
	})
}

func FuzzUnmarshalSch(f *testing.F)    { p := fuzzParams(); fuzzProof(f, p, exampleSch(p)) }
func FuzzUnmarshalElog(f *testing.F)   { p := fuzzParams(); fuzzProof(f, p, exampleElog(p)) }
func FuzzUnmarshalEncElg(f *testing.F) { p := fuzzParams(); fuzzProof(f, p, exampleEncElg(f, p, true)) }
func FuzzUnmarshalAffG(f *testing.F)   { p := fuzzParams(); fuzzProof(f, p, exampleAffG(f, p, true)) }
func FuzzUnmarshalFac(f *testing.F)    { p := fuzzParams(); fuzzProof(f, p, exampleFac(f, p, true)) }
func FuzzUnmarshalMod(f *testing.F)    { p := fuzzParams(); fuzzProof(f, p, exampleMod(f, p)) }
func FuzzUnmarshalPrm(f *testing.F)    { p := fuzzParams(); fuzzProof(f, p, examplePrm(f, p)) }
func FuzzUnmarshalDec(f *testing.F)    { p := fuzzParams(); fuzzProof(f, p, exampleDec(f, p)) }
func FuzzUnmarshalAffGStar(f *testing.F) {
	p := fuzzParams()
	fuzzProof(f, p, exampleAffGStar(f, p))
}
