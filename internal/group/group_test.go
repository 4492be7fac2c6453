package group

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"pgregory.net/rapid"

	"chancery.dev/internal/secret"
)

var curves = []Curve{Secp256k1, Edwards25519}

// orders of the groups: SEC 2 section 2.4.1, RFC 8032 section 5.1.
var orders = map[Curve]string{
	Secp256k1:    "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	Edwards25519: "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed",
}

func order(c Curve) *big.Int {
	n, _ := new(big.Int).SetString(orders[c], 16)
	return n
}

// encode is an integer below 2^256 in the curve's byte order.
func encode(c Curve, v *big.Int) []byte {
	b := v.FillBytes(make([]byte, 32))
	if c == Edwards25519 {
		slices.Reverse(b)
	}
	return b
}

func drawScalar(t *rapid.T, c Curve, name string) (*Scalar, *big.Int) {
	raw := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 32, 32), rapid.Just(make([]byte, 32)), rapid.Just(new(big.Int).Sub(order(c), big.NewInt(1)).FillBytes(make([]byte, 32)))).Draw(t, name)
	v := new(big.Int).Mod(new(big.Int).SetBytes(raw), order(c))
	s, err := c.DecodeScalar(encode(c, v))
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// Scalars against math/big.
func TestScalarArithmetic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(curves).Draw(rt, "curve")
		n := order(c)
		a, x := drawScalar(rt, c, "a")
		b, y := drawScalar(rt, c, "b")
		mod := func(v *big.Int) []byte { return encode(c, v.Mod(v, n)) }
		for name, pair := range map[string][2][]byte{
			"add": {a.Add(b).Bytes(), mod(new(big.Int).Add(x, y))},
			"sub": {a.Sub(b).Bytes(), mod(new(big.Int).Sub(x, y))},
			"mul": {a.Mul(b).Bytes(), mod(new(big.Int).Mul(x, y))},
			"neg": {a.Neg().Bytes(), mod(new(big.Int).Neg(x))},
		} {
			if !bytes.Equal(pair[0], pair[1]) {
				rt.Fatalf("%s %s: %x, want %x", c, name, pair[0], pair[1])
			}
		}
		if a.Equal(b) != (x.Cmp(y) == 0) || a.IsZero() != (x.Sign() == 0) {
			rt.Fatalf("%s: comparison is wrong", c)
		}
		inverse, err := a.Invert()
		if (err != nil) != a.IsZero() {
			rt.Fatalf("inverse: %v", err)
		}
		if err == nil && !inverse.Mul(a).Equal(c.ScalarFromUint64(1)) {
			rt.Fatal("inverse times value is not one")
		}
		wide := rapid.SliceOfN(rapid.Byte(), 32, 64).Draw(rt, "wide")
		be := slices.Clone(wide)
		if c == Edwards25519 {
			slices.Reverse(be)
		}
		if got := c.ReduceScalar(wide).Bytes(); !bytes.Equal(got, mod(new(big.Int).SetBytes(be))) {
			rt.Fatalf("%s: reduction of %x gives %x", c, wide, got)
		}
	})
}

// Points: the laws, and that the fast ways give what the plain ones do.
func TestPointArithmetic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(curves).Draw(rt, "curve")
		a, _ := drawScalar(rt, c, "a")
		b, _ := drawScalar(rt, c, "b")
		d, _ := drawScalar(rt, c, "d")
		g := c.Generator()
		p, q := c.BaseMul(a), c.BaseMul(b)
		for name, ok := range map[string]bool{
			"base":         g.Mul(a).Equal(p),
			"distributive": c.BaseMul(a.Add(b)).Equal(p.Add(q)),
			"associative":  p.Mul(b).Equal(q.Mul(a)) && p.Mul(b).Equal(c.BaseMul(a.Mul(b))),
			"commutative":  p.Add(q).Equal(q.Add(p)),
			"negation":     p.Sub(p).IsIdentity() && p.Neg().Equal(c.BaseMul(a.Neg())),
			"double":       p.Double().Equal(p.Add(p)),
			"neutral":      p.Add(c.Identity()).Equal(p),
			"zero":         p.Mul(c.Zero()).IsIdentity() && c.BaseMul(c.Zero()).IsIdentity(),
			"double mul":   c.DoubleMulVartime(d, b, p).Equal(c.BaseMul(d).Add(p.Mul(b))),
			"multi mul":    c.MultiMulVartime([]*Scalar{a, b, d}, []*Point{q, p, g}).Equal(q.Mul(a).Add(p.Mul(b)).Add(c.BaseMul(d))),
			"empty sum":    c.MultiMulVartime(nil, nil).IsIdentity(),
		} {
			if !ok {
				rt.Fatalf("%s: %s", c, name)
			}
		}
		if !p.IsIdentity() {
			back, err := c.DecodePoint(p.Bytes())
			if err != nil || !back.Equal(p) {
				rt.Fatalf("%s: a point does not survive encoding: %v", c, err)
			}
		}
	})
}

// btcec is another implementation of secp256k1.
func TestSecp256k1AgreesWithBtcec(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, v := drawScalar(rt, Secp256k1, "s")
		if v.Sign() == 0 {
			return
		}
		_, want := btcec.PrivKeyFromBytes(s.Bytes())
		p := Secp256k1.BaseMul(s)
		if !bytes.Equal(p.Bytes(), want.SerializeCompressed()) || p.HasEvenY() != (want.SerializeCompressed()[0] == 2) || !bytes.Equal(p.XOnly(), want.SerializeCompressed()[1:]) {
			rt.Fatal("public keys differ")
		}
	})
}

func TestDecodersRefuse(t *testing.T) {
	for _, c := range curves {
		for name, v := range map[string]*big.Int{"order": order(c), "order+1": new(big.Int).Add(order(c), big.NewInt(1)), "2^256-1": new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))} {
			if _, err := c.DecodeScalar(encode(c, v)); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s: scalar %s: %v", c, name, err)
			}
		}
		for _, n := range []int{0, 1, 31, 33, 34, 64} {
			if _, err := c.DecodeScalar(make([]byte, n)); n != 32 && err == nil {
				t.Errorf("%s: scalar of %d bytes", c, n)
			}
			if _, err := c.DecodePoint(make([]byte, n)); err == nil {
				t.Errorf("%s: point of %d zero bytes", c, n)
			}
		}
	}
	p := "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f" // the field's prime
	good := hex.EncodeToString(Secp256k1.Generator().Bytes())
	for name, text := range map[string]string{
		"identity":              strings.Repeat("00", 33),
		"x is the prime":        "02" + p,
		"uncompressed tag":      "04" + good[2:],
		"hybrid tag":            "06" + good[2:],
		"no such x":             "02" + strings.Repeat("00", 31) + "05",
		"x above the prime":     "02" + strings.Repeat("ff", 32),
		"one byte too many":     good + "00",
		"one byte too few":      good[:64],
		"x-only":                good[2:],
		"generator with tag 01": "01" + good[2:],
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Secp256k1.DecodePoint(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("secp256k1: %s: %v", name, err)
		}
	}
}

// Every point of small order, in canonical and other encodings, and points with a torsion part.
func TestEdwardsRefusesTorsion(t *testing.T) {
	small := []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // identity
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"0000000000000000000000000000000000000000000000000000000000000080", // order 4
		"0000000000000000000000000000000000000000000000000000000000000000",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		// not canonical
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
	for _, text := range small {
		b, _ := hex.DecodeString(text)
		if _, err := Edwards25519.DecodePoint(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s was read", text)
		}
	}
	// A good point plus a point of order 8 or 2 lies on the curve, outside the subgroup. Adding the point of order 2 negates
	// both coordinates: (x, y) becomes (-x, -y).
	prime, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed", 16)
	for i := range uint64(50) {
		b := Edwards25519.BaseMul(Edwards25519.ScalarFromUint64(i + 1)).Bytes()
		sign := b[31] & 0x80
		b[31] &= 0x7f
		slices.Reverse(b)
		y := new(big.Int).Sub(prime, new(big.Int).SetBytes(b)).FillBytes(make([]byte, 32))
		slices.Reverse(y)
		y[31] |= sign ^ 0x80
		if _, err := Edwards25519.DecodePoint(y); !errors.Is(err, ErrEncoding) {
			t.Errorf("%d*G plus the point of order 2 was read", i+1)
		}
	}
}

func TestElementVectors(t *testing.T) {
	for file, c := range map[string]Curve{"frost-ed25519_elements.json": Edwards25519, "frost-secp256k1_elements.json": Secp256k1} {
		raw, err := os.ReadFile("../../vectors/frost-zf/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Elements map[string]string `json:"elements"`
		}
		if err := json.Unmarshal(raw, &v); err != nil || v.Elements["invalid_element"] == "" {
			t.Fatalf("%s: %v", file, err)
		}
		for name, text := range v.Elements {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.DecodePoint(b); err == nil {
				t.Errorf("%s: %s was read", file, name)
			}
		}
	}
}

// Wycheproof's Ed25519 signatures, verified with this package's arithmetic as RFC 8032 section 5.1.7 says (without the
// cofactor, as the engine does).
func TestWycheproofEd25519(t *testing.T) {
	raw, err := os.ReadFile("../../vectors/wycheproof/ed25519_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ Pk string }
			Tests     []struct {
				TcID             int
				Msg, Sig, Result string
				Comment          string
			}
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, g := range v.TestGroups {
		pk, _ := hex.DecodeString(g.PublicKey.Pk)
		for _, c := range g.Tests {
			run++
			msg, _ := hex.DecodeString(c.Msg)
			sig, _ := hex.DecodeString(c.Sig)
			if got := verifyEd25519(pk, msg, sig); got != (c.Result == "valid") {
				t.Errorf("case %d (%s): verifies %v, want %s", c.TcID, c.Comment, got, c.Result)
			}
		}
	}
	if run != v.NumberOfTests || run == 0 {
		t.Errorf("ran %d of %d cases", run, v.NumberOfTests)
	}
}

func verifyEd25519(pk, msg, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	c := Edwards25519
	a, errA := c.DecodePoint(pk)
	r, errR := c.DecodePoint(sig[:32])
	s, errS := c.DecodeScalar(sig[32:])
	if errors.Join(errA, errR, errS) != nil {
		return false
	}
	h := sha512.New()
	h.Write(sig[:32])
	h.Write(pk)
	h.Write(msg)
	return c.DoubleMulVartime(s, c.ReduceScalar(h.Sum(nil)).Neg(), a).Equal(r)
}

func TestScalarsAreSecret(t *testing.T) {
	for _, c := range curves {
		s := c.ScalarFromUint64(0x1234567890abcdef)
		for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %x %d %s", s, s, s, s, s, s), fmt.Sprintf("%v", []*Scalar{s})} {
			if !strings.Contains(out, secret.Mark) || strings.Contains(strings.ToLower(out), "abcdef") || strings.Contains(out, "1311768467294899695") {
				t.Errorf("prints as %q", out)
			}
		}
		if _, err := json.Marshal(struct{ S *Scalar }{s}); err == nil {
			t.Error("a scalar was encoded as JSON")
		}
		clone := s.Clone()
		s.Erase()
		s.Erase()
		if !s.IsZero() || clone.IsZero() {
			t.Error("Erase does not erase, or erases the copy as well")
		}
	}
	var none *Scalar
	none.Erase()
}

func TestMixingCurvesPanics(t *testing.T) {
	a, b := Secp256k1, Edwards25519
	for name, f := range map[string]func(){
		"add":       func() { a.Zero().Add(b.Zero()) },
		"equal":     func() { a.Zero().Equal(b.Zero()) },
		"points":    func() { a.Generator().Add(b.Generator()) },
		"base mul":  func() { a.BaseMul(b.Zero()) },
		"mul":       func() { a.Generator().Mul(b.Zero()) },
		"multi mul": func() { a.MultiMulVartime([]*Scalar{a.Zero()}, []*Point{b.Generator()}) },
		"unknown":   func() { Curve(9).Zero() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func FuzzDecodePoint(f *testing.F) {
	for _, c := range curves {
		f.Add(uint8(c), c.Generator().Bytes())
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := curves[int(which)%2]
		p, err := c.DecodePoint(b)
		if err == nil && (!bytes.Equal(p.Bytes(), b) || p.IsIdentity()) {
			t.Errorf("%s: %x is read as %s", c, b, p)
		}
		s, err := c.DecodeScalar(b)
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Errorf("%s: scalar %x is not canonical", c, b)
		}
	})
}
