package zk

import (
	"math/big"
	"testing"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// make1 fits typed functions to an example's.
func make1[T any](name string, p Params, proof *T, marshal func(*T, Params) []byte, unmarshal func(Params, []byte) (*T, error),
	verify func(Params, Context, *T) error, statements map[string]func(Params, Context, *T) error) example {
	e := example{name: name, proof: proof, statements: map[string]func(Params, Context, any) error{},
		marshal:   func() []byte { return marshal(proof, p) },
		unmarshal: func(b []byte) (any, error) { return unmarshal(p, b) },
		verify:    func(p Params, c Context, x any) error { return verify(p, c, x.(*T)) }}
	for name, f := range statements {
		e.statements[name] = func(p Params, c Context, x any) error { return f(p, c, x.(*T)) }
	}
	return e
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func examples(t testing.TB, p Params) []example {
	t.Helper()
	return []example{exampleSch(p), exampleElog(p), exampleEncElg(t, p, false), exampleEncElg(t, p, true), exampleAffG(t, p, false), exampleAffG(t, p, true),
		exampleFac(t, p, false), exampleFac(t, p, true), exampleMod(t, p), examplePrm(t, p), exampleAffGStar(t, p), exampleDec(t, p)}
}

func exampleSch(p Params) example {
	x := curve.RandomScalar()
	public, extra := curve.BaseMul(x), []byte("joint")
	proof := p.Respond(context(), NewSchNonce(), x, extra)
	verify := func(public *group.Point, extra []byte) func(Params, Context, *Sch) error {
		return func(p Params, c Context, s *Sch) error { return p.VerifySch(c, public, extra, s) }
	}
	return make1("sch", p, proof, (*Sch).Marshal, UnmarshalSch, verify(public, extra), map[string]func(Params, Context, *Sch) error{
		"another point": verify(curve.Generator(), extra), "other joint randomness": verify(public, []byte("x")), "the identity": verify(curve.Identity(), extra),
	})
}

func exampleElog(p Params) example {
	lambda, y := curve.RandomScalar(), curve.RandomScalar()
	x, h := curve.BaseMul(curve.RandomScalar()), curve.BaseMul(curve.RandomScalar())
	s := ElogStatement{L: curve.BaseMul(lambda), M: curve.BaseMul(y).Add(x.Mul(lambda)), X: x, Y: h.Mul(y), H: h}
	with := func(change func(*ElogStatement)) func(Params, Context, *Elog) error {
		o := s
		if change != nil {
			change(&o)
		}
		return func(p Params, c Context, e *Elog) error { return p.VerifyElog(c, o, e) }
	}
	g := curve.Generator()
	return make1("elog", p, p.ProveElog(context(), s, lambda, y), (*Elog).Marshal, UnmarshalElog, with(nil), map[string]func(Params, Context, *Elog) error{
		"L": with(func(s *ElogStatement) { s.L = s.L.Add(g) }), "M": with(func(s *ElogStatement) { s.M = s.M.Add(g) }), "X": with(func(s *ElogStatement) { s.X = s.X.Add(g) }),
		"Y": with(func(s *ElogStatement) { s.Y = s.Y.Add(g) }), "H": with(func(s *ElogStatement) { s.H = s.H.Add(g) }),
	})
}

func exampleEncElg(t testing.TB, p Params, owner bool) example {
	t.Helper()
	prover, verifier := parties()[0], parties()[1]
	_, x := randomScalarInt()
	b := curve.RandomScalar()
	a := curve.BaseMul(curve.RandomScalar())
	rho := prover.own.NewOwnNonce()
	s := EncElgStatement{Key: prover.own.PublicKey, Ped: verifier.pedersen(t), C: must[*big.Int](t)(prover.own.EncryptOwn(x, rho)),
		A: a, B: curve.BaseMul(b), X: a.Mul(b).Add(curve.BaseMul(ScalarOf(x)))}
	proof := must[*EncElg](t)(p.ProveEncElg(context(), s, EncElgWitness{Own: prover.own, X: x, Rho: rho, B: b}))
	s.Key = prover.public(t)
	name := "enc-elg"
	if owner {
		s.Ped, name = verifier.ped.Pedersen, "enc-elg, trapdoor"
	}
	with := func(change func(*EncElgStatement)) func(Params, Context, *EncElg) error {
		o := s
		if change != nil {
			change(&o)
		}
		return func(p Params, c Context, e *EncElg) error { return p.VerifyEncElg(c, o, e) }
	}
	g := curve.Generator()
	return make1(name, p, proof, (*EncElg).Marshal, UnmarshalEncElg, with(nil), map[string]func(Params, Context, *EncElg) error{
		"C": with(func(s *EncElgStatement) { s.C = s.Key.NN().Mul(s.C, s.C) }), "C is no unit": with(func(s *EncElgStatement) { s.C = s.Key.N().Big() }),
		"A": with(func(s *EncElgStatement) { s.A = s.A.Add(g) }), "B": with(func(s *EncElgStatement) { s.B = s.B.Add(g) }), "X": with(func(s *EncElgStatement) { s.X = s.X.Add(g) }),
		"key":             with(func(s *EncElgStatement) { s.Key = verifier.public(t) }),
		"the prover's N̂": with(func(s *EncElgStatement) { s.Ped = prover.pedersen(t) }),
		"s and t": with(func(s *EncElgStatement) {
			s.Ped = must[*paillier.Pedersen](t)(paillier.NewPedersen(s.Ped.N().Big(), s.Ped.T(), s.Ped.S(), p.Modulus))
		}),
	})
}

// affine is a statement of Πaff-g with its witness.
func affine(t testing.TB, p Params) (AffGStatement, AffGWitness) {
	t.Helper()
	prover, verifier := parties()[0], parties()[1]
	_, k := randomScalarInt()
	xs, x := randomScalarInt()
	y := arith.RandomSigned(pow2(p.LPrime))
	key0 := verifier.public(t)
	c := must[*big.Int](t)(verifier.own.EncryptOwn(k, verifier.own.NewOwnNonce()))
	powers := must[*arith.Comb](t)(p.PowersOf(key0, c))
	rho, rhoY := must[*paillier.Nonce](t)(key0.NewNonce()), prover.own.NewOwnNonce()
	d := key0.NN().Mul(must[*big.Int](t)(powers.Exp(x)), key0.Encrypt(y, rho.Power))
	s := AffGStatement{Key0: key0, Key1: prover.own.PublicKey, Ped: verifier.pedersen(t), C: c, D: d, Y: must[*big.Int](t)(prover.own.EncryptOwn(y, rhoY)), X: curve.BaseMul(xs)}
	return s, AffGWitness{Own: prover.own, Powers: powers, X: x, Y: y, Rho: rho, RhoY: rhoY}
}

func affineStatements[T any](t testing.TB, s AffGStatement, verify func(Params, Context, AffGStatement, *T) error) map[string]func(Params, Context, *T) error {
	t.Helper()
	out := map[string]func(Params, Context, *T) error{}
	for name, change := range map[string]func(*AffGStatement){
		"C":               func(s *AffGStatement) { s.C = s.Key0.NN().Mul(s.C, s.C) },
		"D":               func(s *AffGStatement) { s.D = s.Key0.NN().Mul(s.D, s.D) },
		"Y":               func(s *AffGStatement) { s.Y = s.Key1.NN().Mul(s.Y, s.Y) },
		"X":               func(s *AffGStatement) { s.X = s.X.Add(curve.Generator()) },
		"C is no unit":    func(s *AffGStatement) { s.C = s.Key0.N().Big() },
		"D is no unit":    func(s *AffGStatement) { s.D = new(big.Int) },
		"Y is too large":  func(s *AffGStatement) { s.Y = new(big.Int).Add(s.Y, s.Key1.NN().Big()) },
		"keys exchanged":  func(s *AffGStatement) { s.Key0, s.Key1 = s.Key1, s.Key0 },
		"one key for two": func(s *AffGStatement) { s.Key1 = s.Key0 },
	} {
		o := s
		change(&o)
		out[name] = func(p Params, c Context, x *T) error { return verify(p, c, o, x) }
	}
	return out
}

func exampleAffG(t testing.TB, p Params, owner bool) example {
	t.Helper()
	s, w := affine(t, p)
	proof := must[*AffG](t)(p.ProveAffG(context(), s, w))
	s.Key1 = parties()[0].public(t)
	name := "aff-g"
	if owner {
		s.Key0, s.Ped, name = parties()[1].own.PublicKey, parties()[1].ped.Pedersen, "aff-g, trapdoors"
	}
	statements := affineStatements(t, s, Params.VerifyAffG)
	other := s
	other.Ped = parties()[0].pedersen(t)
	statements["the prover's N̂"] = func(p Params, c Context, x *AffG) error { return p.VerifyAffG(c, other, x) }
	return make1(name, p, proof, (*AffG).Marshal, UnmarshalAffG, func(p Params, c Context, x *AffG) error { return p.VerifyAffG(c, s, x) }, statements)
}

func exampleAffGStar(t testing.TB, p Params) example {
	t.Helper()
	s, w := affine(t, p)
	proof := must[*AffGStar](t)(p.ProveAffGStar(context(), s, w))
	s.Key1 = parties()[0].public(t)
	return make1("aff-g*", p, proof, (*AffGStar).Marshal, UnmarshalAffGStar, func(p Params, c Context, x *AffGStar) error { return p.VerifyAffGStar(c, s, x) },
		affineStatements(t, s, Params.VerifyAffGStar))
}

func exampleFac(t testing.TB, p Params, owner bool) example {
	t.Helper()
	prover, verifier := parties()[0], parties()[1]
	s := FacStatement{Key: prover.own.PublicKey, Ped: verifier.pedersen(t)}
	proof := must[*Fac](t)(p.ProveFac(context(), s, prover.own))
	s.Key = prover.public(t)
	name := "fac"
	if owner {
		s.Ped, name = verifier.ped.Pedersen, "fac, trapdoor"
	}
	with := func(o FacStatement) func(Params, Context, *Fac) error {
		return func(p Params, c Context, x *Fac) error { return p.VerifyFac(c, o, x) }
	}
	return make1(name, p, proof, (*Fac).Marshal, UnmarshalFac, with(s), map[string]func(Params, Context, *Fac) error{
		"another modulus": with(FacStatement{verifier.public(t), s.Ped}), "the prover's N̂": with(FacStatement{s.Key, prover.pedersen(t)}),
	})
}

func exampleMod(t testing.TB, p Params) example {
	t.Helper()
	prover := parties()[0]
	proof := must[*Mod](t)(p.ProveMod(context(), prover.own))
	with := func(k *paillier.PublicKey) func(Params, Context, *Mod) error {
		return func(p Params, c Context, x *Mod) error { return p.VerifyMod(c, k, x) }
	}
	return make1("mod", p, proof, (*Mod).Marshal, UnmarshalMod, with(prover.public(t)), map[string]func(Params, Context, *Mod) error{"another modulus": with(parties()[1].public(t))})
}

func examplePrm(t testing.TB, p Params) example {
	t.Helper()
	own := parties()[0].ped
	proof := must[*Prm](t)(p.ProvePrm(context(), own))
	with := func(r *paillier.Pedersen) func(Params, Context, *Prm) error {
		return func(p Params, c Context, x *Prm) error { return p.VerifyPrm(c, r, x) }
	}
	public := parties()[0].pedersen(t)
	swapped := must[*paillier.Pedersen](t)(paillier.NewPedersen(public.N().Big(), public.T(), public.S(), p.Modulus))
	negative := must[*paillier.Pedersen](t)(paillier.NewPedersen(public.N().Big(), new(big.Int).Sub(public.N().Big(), public.S()), public.T(), p.Modulus))
	return make1("prm", p, proof, (*Prm).Marshal, UnmarshalPrm, with(public), map[string]func(Params, Context, *Prm) error{
		"another key": with(parties()[1].pedersen(t)), "s and t exchanged": with(swapped), "s negated": with(negative),
	})
}

func exampleDec(t testing.TB, p Params) example {
	t.Helper()
	prover := parties()[0]
	_, k := randomScalarInt()
	xs, x := randomScalarInt()
	sum := arith.RandomSigned(pow2(p.LPrime + p.Eps))
	c := must[*big.Int](t)(prover.own.EncryptOwn(k, prover.own.NewOwnNonce()))
	d := must[*big.Int](t)(prover.own.EncryptOwn(sum, prover.own.NewOwnNonce()))
	y := k.Mul(x).Add(sum)
	h := curve.BaseMul(curve.RandomScalar())
	s := DecStatement{Key: prover.own.PublicKey, K: c, D: d, X: curve.BaseMul(xs), S: h.Mul(ScalarOf(y)), H: h}
	proof := must[*Dec](t)(p.ProveDec(context(), s, DecWitness{Own: prover.own, X: x, Y: y}))
	s.Key = prover.public(t)
	with := func(change func(*DecStatement)) func(Params, Context, *Dec) error {
		o := s
		if change != nil {
			change(&o)
		}
		return func(p Params, c Context, e *Dec) error { return p.VerifyDec(c, o, e) }
	}
	g := curve.Generator()
	return make1("dec", p, proof, (*Dec).Marshal, UnmarshalDec, with(nil), map[string]func(Params, Context, *Dec) error{
		"K": with(func(s *DecStatement) { s.K = s.Key.NN().Mul(s.K, s.K) }), "D": with(func(s *DecStatement) { s.D = s.Key.NN().Mul(s.D, s.D) }),
		"X": with(func(s *DecStatement) { s.X = s.X.Add(g) }), "S": with(func(s *DecStatement) { s.S = s.S.Add(g) }), "H": with(func(s *DecStatement) { s.H = s.H.Add(g) }),
		"key": with(func(s *DecStatement) { s.Key = parties()[1].public(t) }),
	})
}
