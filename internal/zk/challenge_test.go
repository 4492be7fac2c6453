package zk

import (
	"fmt"
	"maps"
	"math/big"
	"math/bits"
	"reflect"
	"slices"
	"strings"
	"testing"

	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// filler puts a different fixed value into each place of a statement or a proof.
type filler struct {
	t testing.TB
	p Params
	n uint64
}

func (f *filler) key() *paillier.PublicKey {
	f.n++
	return must[*paillier.PublicKey](f.t)(paillier.NewPublicKey(f.odd(), f.p.Modulus))
}

func (f *filler) odd() *big.Int {
	n := seeded(fmt.Sprint("filler", f.n), f.p.Modulus)
	return n.SetBit(n, 0, 1)
}

// power2 are units modulo every odd number.
func (f *filler) power2() *big.Int {
	f.n++
	return pow2(int(f.n))
}

func (f *filler) value(v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case *big.Int:
		v.Set(reflect.ValueOf(new(big.Int).SetUint64(f.n)))
	case *group.Point:
		v.Set(reflect.ValueOf(curve.BaseMul(curve.ScalarFromUint64(f.n))))
	case *group.Scalar:
		v.Set(reflect.ValueOf(curve.ScalarFromUint64(f.n)))
	case bool:
		v.SetBool(!v.Bool())
	case *paillier.PublicKey:
		v.Set(reflect.ValueOf(f.key()))
	case *paillier.Pedersen:
		v.Set(reflect.ValueOf(must[*paillier.Pedersen](f.t)(paillier.NewPedersen(f.odd(), f.power2(), f.power2(), f.p.Modulus))))
	default:
		f.t.Fatalf("no value for %s", v.Type())
	}
}

// places are all places of a struct, by name; lists have three elements.
func places(v any) map[string]reflect.Value {
	out, s := map[string]reflect.Value{}, reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		name, field := s.Type().Field(i).Name, s.Field(i)
		if field.Kind() != reflect.Slice {
			out[name] = field
			continue
		}
		if field.IsNil() {
			field.Set(reflect.MakeSlice(field.Type(), 3, 3))
		}
		for j := range field.Len() {
			out[fmt.Sprintf("%s %d", name, j)] = field.Index(j)
		}
	}
	return out
}

// hashed is one kind of proof: a challenge over a statement and a proof, and the fields that it cannot depend on.
type hashed struct {
	statement, proof any
	challenge        func() any
	free             string // responses, and what the proof does not use
}

func hashedKinds(p Params) map[string]hashed {
	type key struct{ Key *paillier.PublicKey }
	type ped struct{ Ped *paillier.Pedersen }
	type point struct{ X *group.Point }
	sch, elog, enc, aff, star, fac, mod, prm, dec := new(Sch), new(Elog), new(EncElg), new(AffG), new(AffGStar), new(Fac), new(Mod), new(Prm), new(Dec)
	schS, elogS, encS, affS, starS, facS, modS, prmS, decS := new(point), new(ElogStatement), new(EncElgStatement), new(AffGStatement), new(AffGStatement), new(FacStatement), new(key), new(ped), new(DecStatement)
	c := context()
	return map[string]hashed{
		"sch":     {schS, sch, func() any { return p.schChallenge(c, schS.X, sch.A, nil).Bytes() }, "Z"},
		"elog":    {elogS, elog, func() any { return p.elogChallenge(c, *elogS, elog.A, elog.N, elog.B).Bytes() }, "Z U"},
		"enc-elg": {encS, enc, func() any { e, _ := p.encElgChallenge(c, *encS, enc); return e.Bytes() }, "Z1 Z2 Z3 W"},
		"aff-g":   {affS, aff, func() any { e, _ := p.affGChallenge(c, *affS, aff); return e.Bytes() }, "Z1 Z2 Z3 Z4 W Wy"},
		"aff-g*":  {starS, star, func() any { return p.affGStarChallenge(c, *starS, star) }, "Z Zy W Wy Ped"},
		"fac":     {facS, fac, func() any { return p.facChallenge(c, *facS, fac).String() }, "Z1 Z2 W1 W2 V"},
		"mod":     {modS, mod, func() any { return p.modChallenges(c, modS.Key, mod.W) }, "X Z A B"},
		"prm":     {prmS, prm, func() any { return p.prmChallenge(c, prmS.Ped, prm.A) }, "Z"},
		"dec":     {decS, dec, func() any { return p.decChallenge(c, *decS, dec) }, "Z W V"},
	}
}

// Every challenge depends on every part of the statement and on every commitment: one that it did not depend on could be chosen
// after it, so that the equations hold.
func TestChallengesBindEveryPart(t *testing.T) {
	p := modParams()
	for name, h := range hashedKinds(p) {
		f := &filler{t: t, p: p}
		all := places(h.statement)
		for place, v := range places(h.proof) {
			all["proof "+place] = v
		}
		names := slices.Sorted(maps.Keys(all))
		for _, place := range names {
			f.value(all[place])
		}
		before := fmt.Sprint(h.challenge())
		for _, place := range names {
			kept := reflect.New(all[place].Type()).Elem()
			kept.Set(all[place])
			f.value(all[place])
			field := strings.Fields(strings.TrimPrefix(place, "proof "))[0]
			free := slices.Contains(strings.Fields(h.free), field) && (strings.HasPrefix(place, "proof ") || field == "Ped")
			if changed := fmt.Sprint(h.challenge()) != before; changed == free {
				t.Errorf("%s: %s is another, and the challenge changes: %v", name, place, changed)
			}
			all[place].Set(kept)
		}
		if fmt.Sprint(h.challenge()) != before {
			t.Errorf("%s: the challenge is not a function of statement and proof", name)
		}
	}
}

// Modulus, s and t of a ring-Pedersen key are bound each by itself.
func TestChallengesBindEachOfAKey(t *testing.T) {
	p := modParams()
	n := mul(blum("p", p.Modulus/2), blum("q", p.Modulus/2))
	for name, h := range hashedKinds(p) {
		ped := reflect.ValueOf(h.statement).Elem().FieldByName("Ped")
		if !ped.IsValid() || name == "aff-g*" {
			continue
		}
		f := &filler{t: t, p: p}
		for _, whole := range []any{h.statement, h.proof} {
			for _, v := range places(whole) {
				f.value(v)
			}
		}
		seen := map[string]bool{}
		for _, bases := range [][3]int64{{1, 4, 9}, {1, 49, 9}, {1, 4, 49}, {1, 9, 4}, {5, 4, 9}} {
			m := mul(n, big.NewInt(bases[0]))
			ped.Set(reflect.ValueOf(must[*paillier.Pedersen](t)(paillier.NewPedersen(m, big.NewInt(bases[1]), big.NewInt(bases[2]), m.BitLen()))))
			seen[fmt.Sprint(h.challenge())] = true
		}
		if len(seen) != 5 {
			t.Errorf("%s: %d different challenges for five keys", name, len(seen))
		}
	}
}

// The numbers of Πmod are drawn for N, and not only reduced modulo N: those for 3N are others modulo N.
func TestModChallengesBindN(t *testing.T) {
	p := modParams()
	n := mul(blum("p", p.Modulus/2), blum("q", p.Modulus/2))
	key := func(n *big.Int) *paillier.PublicKey {
		return must[*paillier.PublicKey](t)(paillier.NewPublicKey(n, n.BitLen()))
	}
	threefold := p.modChallenges(context(), key(mul(n, big.NewInt(3))), four)
	for i, y := range p.modChallenges(context(), key(n), four) {
		if y.Cmp(new(big.Int).Mod(threefold[i], n)) == 0 {
			t.Errorf("number %d does not depend on N", i)
		}
	}
}

// oneBit are transcripts of the proofs with one-bit challenges, over fixed numbers, of which the i-th input is another.
func oneBit(t testing.TB, p Params) map[string]func(c Context, changed int) []bool {
	t.Helper()
	key := func(i int) *paillier.PublicKey {
		return must[*paillier.PublicKey](t)(paillier.NewPublicKey(mul(blum("bits p", p.Modulus/2), blum("bits q"+string(rune('a'+i)), p.Modulus/2)), p.Modulus))
	}
	number := func(hit bool) *big.Int {
		if hit {
			return big.NewInt(1000004)
		}
		return big.NewInt(1000003)
	}
	point := func(hit bool) *group.Point {
		return curve.BaseMul(curve.ScalarFromUint64(number(hit).Uint64()))
	}
	keys := map[bool]*paillier.PublicKey{false: key(0), true: key(1)}
	list := func(hit bool) []*big.Int { return []*big.Int{number(false), number(hit), number(false)} }
	plist := func(hit bool) []*group.Point { return []*group.Point{point(false), point(false), point(hit)} }
	return map[string]func(Context, int) []bool{
		"prm": func(c Context, i int) []bool {
			s, base := big.NewInt(4), big.NewInt(9)
			if i == 1 {
				s = big.NewInt(16)
			}
			if i == 2 {
				base = big.NewInt(25)
			}
			ped := must[*paillier.Pedersen](t)(paillier.NewPedersen(keys[i == 0].N().Big(), s, base, p.Modulus))
			return p.prmChallenge(c, ped, list(i == 3))
		},
		"aff-g*": func(c Context, i int) []bool {
			s := AffGStatement{Key0: keys[i == 0], Key1: keys[i == 1], C: number(i == 2), D: number(i == 3), Y: number(i == 4), X: point(i == 5)}
			return p.affGStarChallenge(c, s, &AffGStar{A: list(i == 6), B: list(i == 7), R: plist(i == 8)})
		},
		"dec": func(c Context, i int) []bool {
			s := DecStatement{Key: keys[i == 0], K: number(i == 1), D: number(i == 2), X: point(i == 3), S: point(i == 4), H: point(i == 5)}
			return p.decChallenge(c, s, &Dec{A: list(i == 6), B: plist(i == 7), C: plist(i == 8)})
		},
	}
}

// All of the 128 bits come from the hash: another transcript has about half of them different, and over many transcripts every
// bit, and every pair of neighbours, takes all values. The numbers are fixed, so there is no luck in this.
func TestChallengeBitsComeFromTheHash(t *testing.T) {
	p := modParams()
	inputs := map[string]int{"prm": 4, "aff-g*": 9, "dec": 9}
	for name, transcript := range oneBit(t, p) {
		base := transcript(context(), -1)
		if len(base) != 128 {
			t.Fatalf("%s: %d bits", name, len(base))
		}
		for i := range inputs[name] {
			if changed := 128 - equalBits(base, transcript(context(), i)); changed < 38 || changed > 90 {
				t.Errorf("%s: another input %d changes %d of 128 bits", name, i, changed)
			}
		}
		const many = 300
		var ones, pairs [128]int
		for index := range uint32(many) {
			c := context()
			c.Index = index
			b := transcript(c, -1)
			for i := range b {
				if b[i] {
					ones[i]++
				}
				if b[i] == b[(i+1)%128] {
					pairs[i]++
				}
			}
		}
		for i := range ones { // ±6 standard deviations
			if ones[i] < many/2-52 || ones[i] > many/2+52 || pairs[i] < many/2-52 || pairs[i] > many/2+52 {
				t.Errorf("%s: bit %d is one in %d, and like the next in %d of %d transcripts", name, i, ones[i], pairs[i], many)
			}
		}
	}
}

// Scalar challenges have all their bits too.
func TestChallengeScalarsComeFromTheHash(t *testing.T) {
	p, g := small(), curve.Generator()
	var all, none [32]byte
	for i := range none {
		none[i] = 255
	}
	for index := range uint32(64) {
		c := context()
		c.Index = index
		e := p.schChallenge(c, g, g, nil).Bytes()
		for i, b := range e {
			all[i] |= b
			none[i] &= b
		}
	}
	for i := range all {
		if bits.OnesCount8(all[i]) != 8 || none[i] != 0 {
			t.Errorf("byte %d of the challenge has bits that do not vary: %08b, %08b", i, all[i], none[i])
		}
	}
	if e := IntOf(p.schChallenge(context(), g, g, nil)).Reveal(); e.Cmp(order) >= 0 {
		t.Error("a challenge is not below the order")
	}
}
