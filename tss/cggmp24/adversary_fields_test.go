package cggmp24

import (
	"bytes"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"testing"
)

// testReps is the length of the lists in proofs with one-bit challenges, as TestMain sets it.
const testReps = 8

// Kinds of values in messages. Ranges are signed numbers: a sign byte and a magnitude.
type (
	point    struct{}
	scalar   struct{}
	residue  struct{} // below a modulus
	square   struct{} // below its square
	rangeX   struct{} // ±2^(ℓ+ε)
	rangeY   struct{} // ±2^(ℓ'+ε)
	rangePed struct{} // of ring-Pedersen randomness
	rangeFac struct{} // z of Πfac
	rangeV   struct{} // v of Πfac
	rangeDec struct{} // w of Πdec
	shown    struct{} // a signed message of round 5
	rest     struct{}
)

// sizes of the kinds in bytes.
func kindSizes() map[reflect.Type]int {
	signed := func(bits int) int { return bits/8 + 2 }
	x, n := params.L+params.Eps, params.Modulus
	return map[reflect.Type]int{
		reflect.TypeFor[point](): curve.PointLen(), reflect.TypeFor[scalar](): curve.ScalarLen(),
		reflect.TypeFor[residue](): n / 8, reflect.TypeFor[square](): n / 4,
		reflect.TypeFor[rangeX](): signed(x), reflect.TypeFor[rangeY](): signed(params.LPrime + params.Eps),
		reflect.TypeFor[rangePed](): signed(x + n + 1), reflect.TypeFor[rangeFac](): signed(x + n/2),
		reflect.TypeFor[rangeV](): signed(x + 2*n + 1), reflect.TypeFor[rangeDec](): signed(params.LPrime + 2*params.Eps + 9),
	}
}

// Descriptions of the payloads, in the order of their bytes. A struct within a struct is a proof.
type (
	hashFields    struct{ Hash [32]byte }
	echoFields    struct{ Originals rest }
	openingFields struct {
		Version          [1]byte
		Rid, Chain, Salt [32]byte
		Count            [2]byte
		Points           []point
		Proof            point
	}
	shareFields   struct{ Share scalar }
	verdictFields struct {
		Kind   [1]byte
		Digest [32]byte
		Z      []scalar
	}
	prmFields        struct{ A, Z [testReps]residue }
	auxOpeningFields struct {
		Version       [1]byte
		Rid, Salt     [32]byte
		N, NHat, S, T residue
		Prm           prmFields
	}
	modFields struct {
		W    residue
		X, Z [testReps]residue
		A, B [testReps / 8]byte
	}
	facFields struct {
		P, Q, A, B, T residue
		Z1, Z2        rangeFac
		W1, W2        rangePed
		V             rangeV
	}
	nonceFields struct {
		Version           [1]byte
		K, G              square
		Y, A1, A2, B1, B2 point
	}
	encElgProof struct {
		S, T, Z2 residue
		D        square
		Y, Z     point
		Z1       rangeX
		Z3       rangePed
		W        scalar
	}
	encElgFields struct {
		Version [1]byte
		LenK    [4]byte
		K       encElgProof
		LenG    [4]byte
		G       encElgProof
	}
	elogProof struct {
		A, N, B point
		Z, U    scalar
	}
	gammaFields struct {
		Version [1]byte
		Gamma   point
		Proof   elogProof
	}
	affGProof struct {
		A, By             square
		Bx                point
		E, S, F, T, W, Wy residue
		Z1                rangeX
		Z2                rangeY
		Z3, Z4            rangePed
	}
	affineFields struct {
		Version          [1]byte
		D, F, DHat, FHat square
		Len              [4]byte
		Proof            affGProof
		LenHat           [4]byte
		ProofHat         affGProof
	}
	deltaFields struct {
		Version  [1]byte
		Delta    scalar
		BigDelta point
		BigS     point
		Proof    elogProof
	}
	decProof struct {
		A    [testReps]square
		B, C [testReps]point
		Z    [testReps]rangeX
		W    [testReps]rangeDec
		V    [testReps]residue
	}
	alertFields struct { // among two signers
		Version, Kind [1]byte
		Len           [4]byte
		Shown         shown
		Dec           decProof
	}
)

// signedOverhead is what the tests' signatures and headers add to a payload.
const signedOverhead = 64 + 37

// field is a stretch of a payload.
type field struct {
	name       string
	start, end int
	kind       reflect.Type
}

// layer lays descriptions over payloads.
type layer struct {
	sizes map[reflect.Type]int
	total int // bytes of the payload
	out   []field
	at    int
}

func (l *layer) size(kind reflect.Type) int {
	switch {
	case kind == reflect.TypeFor[shown]():
		return l.size(reflect.TypeFor[affineFields]()) + signedOverhead
	case l.sizes[kind] != 0:
		return l.sizes[kind]
	case kind.Kind() == reflect.Array && kind.Elem().Kind() == reflect.Uint8:
		return kind.Len()
	case kind.Kind() == reflect.Array:
		return kind.Len() * l.size(kind.Elem())
	case kind.Kind() == reflect.Struct:
		sum := 0
		for i := range kind.NumField() {
			sum += l.size(kind.Field(i).Type)
		}
		return sum
	}
	return 0
}

func (l *layer) add(name string, kind reflect.Type, size int) {
	l.out = append(l.out, field{name, l.at, l.at + size, kind})
	l.at += size
}

// lay adds one value. Of a list of fixed length the first and the last element become fields; a slice stretches over as many
// elements as the payload leaves room for.
func (l *layer) lay(name string, kind reflect.Type, tail int) {
	switch {
	case kind == reflect.TypeFor[rest]():
		l.add(name, kind, l.total-l.at)
	case kind == reflect.TypeFor[shown](), l.sizes[kind] != 0:
		l.add(name, kind, l.size(kind))
	case kind.Kind() == reflect.Slice:
		for n := 0; l.at+l.size(kind.Elem())+tail <= l.total; n++ {
			l.add(fmt.Sprintf("%s[%d]", name, n), kind.Elem(), l.size(kind.Elem()))
		}
	case kind.Kind() == reflect.Array && kind.Elem().Kind() == reflect.Uint8:
		l.add(name, kind, kind.Len())
	case kind.Kind() == reflect.Array:
		for n := range kind.Len() {
			if n == 0 || n == kind.Len()-1 {
				l.add(fmt.Sprintf("%s[%d]", name, n), kind.Elem(), l.size(kind.Elem()))
			} else {
				l.at += l.size(kind.Elem())
			}
		}
	default:
		for i := range kind.NumField() {
			after := 0
			for j := i + 1; j < kind.NumField(); j++ {
				after += l.size(kind.Field(j).Type)
			}
			l.lay(name+"."+kind.Field(i).Name, kind.Field(i).Type, after)
		}
	}
}

// fieldsOf lays a description over a payload.
func fieldsOf(t testing.TB, description any, payload []byte) []field {
	t.Helper()
	l := &layer{sizes: kindSizes(), total: len(payload)}
	l.lay("", reflect.TypeOf(description), 0)
	if l.at != len(payload) {
		t.Fatalf("description %T covers %d of %d bytes", description, l.at, len(payload))
	}
	return l.out
}

// mutation changes one field of a payload.
type mutation struct {
	name  string
	do    func(a *attack, payload []byte, f field) []byte
	whole bool // it does the same whatever the field
}

func replace(payload []byte, f field, with []byte) []byte {
	return slices.Concat(payload[:f.start], with, payload[f.end:])
}

func (f field) is(kinds ...reflect.Type) bool { return slices.Contains(kinds, f.kind) }

func (f field) isPoint() bool  { return f.is(reflect.TypeFor[point]()) }
func (f field) isScalar() bool { return f.is(reflect.TypeFor[scalar]()) }
func (f field) isResidue() bool {
	return f.is(reflect.TypeFor[residue](), reflect.TypeFor[square]())
}

func (f field) isSigned() bool {
	return f.is(reflect.TypeFor[rangeX](), reflect.TypeFor[rangeY](), reflect.TypeFor[rangePed](), reflect.TypeFor[rangeFac](), reflect.TypeFor[rangeV](), reflect.TypeFor[rangeDec]())
}

var mutations = []mutation{
	{name: "another valid value", do: another},
	{name: "flip first bit", do: func(_ *attack, p []byte, f field) []byte {
		out := slices.Clone(p)
		out[f.start] ^= 0x80
		return out
	}},
	{name: "flip last bit", do: func(_ *attack, p []byte, f field) []byte {
		out := slices.Clone(p)
		out[f.end-1] ^= 1
		return out
	}},
	{name: "zero", do: func(_ *attack, p []byte, f field) []byte { return replace(p, f, make([]byte, f.end-f.start)) }},
	{name: "all ones", do: func(_ *attack, p []byte, f field) []byte {
		return replace(p, f, bytes.Repeat([]byte{0xff}, f.end-f.start))
	}},
	{name: "negated", do: negated},
	{name: "identity", do: func(_ *attack, p []byte, f field) []byte { // 1 for numbers; the identity of the curve has no encoding
		v := make([]byte, f.end-f.start)
		if len(v) > 0 && !f.isPoint() {
			v[len(v)-1] = 1
		}
		return replace(p, f, v)
	}},
	{name: "cut out", do: func(_ *attack, p []byte, f field) []byte { return replace(p, f, nil) }},
	{name: "doubled", do: func(_ *attack, p []byte, f field) []byte {
		return replace(p, f, slices.Concat(p[f.start:f.end], p[f.start:f.end]))
	}},
	{name: "one byte more", whole: true, do: func(_ *attack, p []byte, _ field) []byte { return append(slices.Clone(p), 0) }},
	{name: "of an earlier run", do: func(a *attack, p []byte, f field) []byte {
		if len(a.other) != len(p) {
			return append(slices.Clone(p), 1)
		}
		return replace(p, f, a.other[f.start:f.end])
	}},
	{name: "empty message", whole: true, do: func(*attack, []byte, field) []byte { return []byte{} }},
}

// another is a value of the same kind: random where any is as good, the next where that is a value.
func another(_ *attack, p []byte, f field) []byte {
	switch {
	case f.isPoint():
		return replace(p, f, curve.BaseMul(curve.RandomScalar()).Bytes())
	case f.isScalar():
		return replace(p, f, curve.RandomScalar().Bytes())
	case f.isResidue():
		v := new(big.Int).SetBytes(p[f.start:f.end])
		v.Add(v, big.NewInt(1))
		if v.BitLen() > 8*(f.end-f.start) {
			v.SetInt64(2)
		}
		return replace(p, f, v.FillBytes(make([]byte, f.end-f.start)))
	case f.isSigned():
		out := slices.Clone(p)
		out[f.end-1] ^= 2
		return out
	}
	out := slices.Clone(p)
	out[f.start]++
	return out
}

// negated takes numbers below a modulus from the attacker's own N, or its square.
func negated(a *attack, p []byte, f field) []byte {
	switch {
	case f.isPoint():
		v, err := curve.DecodePoint(p[f.start:f.end])
		if err != nil {
			panic(err)
		}
		return replace(p, f, v.Neg().Bytes())
	case f.isScalar():
		v, err := curve.DecodeScalar(p[f.start:f.end])
		if err != nil {
			panic(err)
		}
		return replace(p, f, v.Neg().Bytes())
	case f.isResidue():
		v, primes := new(big.Int).SetBytes(p[f.start:f.end]), primesOf(a.key.from)
		n := primes.P.Mul(primes.Q).Reveal()
		if f.is(reflect.TypeFor[square]()) {
			n.Mul(n, n)
		}
		v.Sub(n, v)
		return replace(p, f, v.FillBytes(make([]byte, f.end-f.start)))
	case f.isSigned():
		out := slices.Clone(p)
		out[f.start] ^= 1
		return out
	}
	out := slices.Clone(p)
	out[f.end-1] ^= 0xff
	return out
}
