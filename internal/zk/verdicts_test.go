package zk

import (
	"errors"
	"math/big"
	"reflect"
	"testing"

	"chancery.dev/internal/paillier"
)

// Who owns a key computes modulo its factors, with shorter exponents. Owner and everybody else must come to one verdict, or a
// proof that the receiver takes would be evidence against its prover for others.

// holder is one party's view of the keys of a statement.
type holder[S any] struct {
	name string
	see  func(*S)
}

// verdicts compares the verdicts of all holders on an honest proof, and on every spoilt proof and statement. The values in
// edges are tried in every place that takes a number.
func verdicts[S, T any](t *testing.T, p Params, name string, s S, proof *T, verify func(Params, Context, S, *T) error, edges map[string]*big.Int, holders ...holder[S]) {
	t.Helper()
	cases, refusals := 0, map[string]bool{}
	judge := func(what string, s S, proof *T) {
		var first string
		for i, h := range holders {
			h.see(&s)
			err := verify(p, context(), s, proof)
			var f *Failure
			if err != nil && !errors.As(err, &f) {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
			got := failed(err)
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("%s, %s: %q for %s, %q for %s", name, what, first, holders[0].name, got, h.name)
			}
		}
		if what == "honest" && first != "" {
			t.Errorf("%s: the honest proof is refused by %q", name, first)
		}
		cases++
		refusals[first] = true
	}
	judge("honest", s, proof)
	for _, whole := range []any{proof, &s} {
		for place, field := range fieldsOf(whole) {
			values := spoils(field)
			for _, how := range []string{"minus one", "doubled", "one", "huge", "generator"} { // the others are of the same kinds
				delete(values, how)
			}
			if _, number := field.Interface().(*big.Int); number {
				for what, v := range edges {
					values[what] = v
				}
			}
			for how, v := range values {
				bad := clone(whole)
				fieldsOf(bad)[place].Set(reflect.ValueOf(v))
				if x, ok := bad.(*T); ok {
					judge(place+" "+how, s, x)
				} else {
					judge("statement "+place+" "+how, *bad.(*S), proof)
				}
			}
		}
	}
	t.Logf("%s: %d verdicts, %d different checks, by %d holders", name, cases, len(refusals)-1, len(holders))
}

func TestOwnersAndOthersAgree(t *testing.T) {
	p := small()
	p.Reps = 1
	prover, verifier := parties()[0], parties()[1]
	x, y := seeded("x", 255), seeded("y", p.LPrime-1)
	edges := map[string]*big.Int{
		"prover's p": testPrime(0).Reveal(), "verifier's p": testPrime(4).Reveal(), "verifier's p̂": testPrime(6).Reveal(),
	}
	proverPublic, verifierPublic, pedPublic := prover.public(t), verifier.public(t), verifier.pedersen(t)

	es, ep := encElgLie{c: x, x: x, s: x, z: times(x)}.prove(t, p, prover.own.PublicKey, verifier.ped.Pedersen)
	verdicts(t, p, "enc-elg", es, ep, Params.VerifyEncElg, edges,
		holder[EncElgStatement]{"a third party", func(s *EncElgStatement) { s.Key, s.Ped = proverPublic, pedPublic }},
		holder[EncElgStatement]{"the verifier", func(s *EncElgStatement) { s.Key, s.Ped = proverPublic, verifier.ped.Pedersen }},
		holder[EncElgStatement]{"the prover", func(s *EncElgStatement) { s.Key, s.Ped = prover.own.PublicKey, pedPublic }})

	base := AffGStatement{Key0: verifier.own.PublicKey, Key1: prover.own.PublicKey, Ped: verifier.ped.Pedersen, C: encrypted(t, verifierPublic, x, four)}
	see := func(name string, key0, key1 *paillier.PublicKey, ped *paillier.Pedersen) holder[AffGStatement] {
		return holder[AffGStatement]{name, func(s *AffGStatement) { s.Key0, s.Key1, s.Ped = key0, key1, ped }}
	}
	third := see("a third party", verifierPublic, proverPublic, pedPublic)
	owner := see("the verifier", verifier.own.PublicKey, proverPublic, verifier.ped.Pedersen)
	self := see("the prover", verifierPublic, prover.own.PublicKey, pedPublic)
	as, ap := oneXY(x, y).prove(t, p, base)
	verdicts(t, p, "aff-g", as, ap, Params.VerifyAffG, edges, third, owner, self)

	ss, sp := oneStar(x, y).prove(t, p, base)
	verdicts(t, p, "aff-g*", ss, sp, Params.VerifyAffGStar, edges, third, owner, self)

	fs, fp := facLie{n: prover.own.N().Big(), a: testPrime(0).Reveal(), b: testPrime(1).Reveal()}.prove(t, p, verifier.ped.Pedersen)
	verdicts(t, p, "fac", fs, fp, Params.VerifyFac, edges,
		holder[FacStatement]{"a third party", func(s *FacStatement) { s.Ped = pedPublic }},
		holder[FacStatement]{"the verifier", func(s *FacStatement) { s.Ped = verifier.ped.Pedersen }})

	ds, dp := oneDec(x, y).prove(t, p, prover.own.PublicKey)
	verdicts(t, p, "dec", ds, dp, Params.VerifyDec, edges,
		holder[DecStatement]{"a third party", func(s *DecStatement) { s.Key = proverPublic }},
		holder[DecStatement]{"the prover", func(s *DecStatement) { s.Key = prover.own.PublicKey }})
}

// The proofs about keys: Πmod and Πprm, where the statement is the key itself.
func TestOwnersAndOthersAgreeOnKeys(t *testing.T) {
	p := small()
	p.Reps = 1
	prover := parties()[0]
	edges := map[string]*big.Int{"p": testPrime(0).Reveal(), "p̂": testPrime(2).Reveal(), "N - 1": sub(prover.own.N().Big(), one), "N̂ - 1": sub(prover.ped.N().Big(), one)}
	type keys struct {
		Key *paillier.PublicKey
		Ped *paillier.Pedersen
	}
	holders := []holder[keys]{
		{"others", func(k *keys) { k.Key, k.Ped = prover.public(t), prover.pedersen(t) }},
		{"the owner", func(k *keys) { k.Key, k.Ped = prover.own.PublicKey, prover.ped.Pedersen }},
	}
	mod := must[*Mod](t)(p.ProveMod(context(), prover.own))
	verdicts(t, p, "mod", keys{}, mod, func(p Params, c Context, k keys, x *Mod) error { return p.VerifyMod(c, k.Key, x) }, edges, holders...)
	prm := must[*Prm](t)(p.ProvePrm(context(), prover.ped))
	verdicts(t, p, "prm", keys{}, prm, func(p Params, c Context, k keys, x *Prm) error { return p.VerifyPrm(c, k.Ped, x) }, edges, holders...)
}
