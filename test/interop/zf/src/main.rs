//! Holds participants of the ZF FROST crates and does what it is told: one JSON object a line in, one a line out.
//!
//! Every package and share is hex of the crates' own serialisation. A refusal is {"error": text, "culprits": [party]}.
//! `tweak` is absent for none, empty for a Taproot output without script tree, or the hex of a merkle root.
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err)] // a reply is as large as it is

use frost_core::keys::{dkg, IdentifierList, KeyPackage, PublicKeyPackage};
use frost_core::round1::{SigningCommitments, SigningNonces};
use frost_core::round2::SignatureShare;
use frost_core::{Ciphersuite, Identifier, Signature, SigningPackage, VerifyingKey};
use frost_ed25519::Ed25519Sha512;
use frost_secp256k1_tr::{keys::Tweak, Secp256K1Sha256TR};
use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "hex::serde")] Vec<u8>);

type ByParty = BTreeMap<u16, Hex>;

/// What is asked. Each operation looks at the fields that it needs.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    op: String,
    suite: String,
    party: u16,
    parties: u16,
    threshold: u16,
    packages: ByParty,
    shares: ByParty,
    package: Hex,
    key: Hex,
    public: Hex,
    message: Hex,
    signature: Hex,
    tweak: Option<Hex>,
}

/// What is answered. Only what is set is written.
#[derive(Default, Serialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    culprits: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Hex>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    keys: ByParty,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shares: ByParty,
}

impl Reply {
    fn refuse(text: impl ToString) -> Self {
        Reply {
            error: Some(text.to_string()),
            ..Default::default()
        }
    }
}

impl<C: Ciphersuite> From<frost_core::Error<C>> for Reply {
    fn from(e: frost_core::Error<C>) -> Self {
        Reply {
            culprits: e.culprits().iter().map(number).collect(),
            ..Reply::refuse(e)
        }
    }
}

type Answer = Result<Reply, Reply>;

fn number<C: Ciphersuite>(id: &Identifier<C>) -> u16 {
    (1..=u16::MAX)
        .find(|n| Identifier::try_from(*n).as_ref() == Ok(id))
        .unwrap_or(0)
}

/// What the suites do differently: only Taproot keys can be tweaked.
trait Suite: Ciphersuite {
    fn tweak_key(key: KeyPackage<Self>, root: Option<&[u8]>) -> Result<KeyPackage<Self>, Reply>;
    fn tweak_public(
        public: PublicKeyPackage<Self>,
        root: Option<&[u8]>,
    ) -> Result<PublicKeyPackage<Self>, Reply>;
    /// Signs with the crate's own function for a tweaked key.
    fn sign_tweaked(
        package: &SigningPackage<Self>,
        nonces: &SigningNonces<Self>,
        key: &KeyPackage<Self>,
        root: Option<&[u8]>,
    ) -> Result<SignatureShare<Self>, Reply> {
        Ok(frost_core::round2::sign(
            package,
            nonces,
            &Self::tweak_key(key.clone(), root)?,
        )?)
    }
}

impl Suite for Ed25519Sha512 {
    fn tweak_key(_: KeyPackage<Self>, _: Option<&[u8]>) -> Result<KeyPackage<Self>, Reply> {
        Err(Reply::refuse("this suite has no tweak"))
    }
    fn tweak_public(
        _: PublicKeyPackage<Self>,
        _: Option<&[u8]>,
    ) -> Result<PublicKeyPackage<Self>, Reply> {
        Err(Reply::refuse("this suite has no tweak"))
    }
}

impl Suite for Secp256K1Sha256TR {
    fn tweak_key(key: KeyPackage<Self>, root: Option<&[u8]>) -> Result<KeyPackage<Self>, Reply> {
        Ok(key.tweak(root))
    }
    fn tweak_public(
        public: PublicKeyPackage<Self>,
        root: Option<&[u8]>,
    ) -> Result<PublicKeyPackage<Self>, Reply> {
        Ok(public.tweak(root))
    }
    fn sign_tweaked(
        package: &SigningPackage<Self>,
        nonces: &SigningNonces<Self>,
        key: &KeyPackage<Self>,
        root: Option<&[u8]>,
    ) -> Result<SignatureShare<Self>, Reply> {
        Ok(frost_secp256k1_tr::round2::sign_with_tweak(
            package, nonces, key, root,
        )?)
    }
}

/// The merkle root of a tweak: the outer option is whether there is one, the inner whether there is a script tree.
fn root(tweak: &Option<Hex>) -> Option<Option<&[u8]>> {
    tweak.as_ref().map(|t| {
        if t.0.is_empty() {
            None
        } else {
            Some(t.0.as_slice())
        }
    })
}

/// One participant. Secrets of a step are taken by the next one, so nothing is used twice.
struct Participant<C: Suite> {
    round1: Option<dkg::round1::SecretPackage<C>>,
    received: BTreeMap<Identifier<C>, dkg::round1::Package<C>>,
    round2: Option<dkg::round2::SecretPackage<C>>,
    key: Option<KeyPackage<C>>,
    nonces: Option<SigningNonces<C>>,
}

impl<C: Suite> Default for Participant<C> {
    fn default() -> Self {
        Participant {
            round1: None,
            received: BTreeMap::new(),
            round2: None,
            key: None,
            nonces: None,
        }
    }
}

fn decode<C: Suite, T>(
    from: &ByParty,
    one: impl Fn(&[u8]) -> Result<T, frost_core::Error<C>>,
) -> Result<BTreeMap<Identifier<C>, T>, Reply> {
    let mut out = BTreeMap::new();
    for (party, bytes) in from {
        out.insert(Identifier::try_from(*party)?, one(&bytes.0)?);
    }
    Ok(out)
}

const EARLY: &str = "this step is not due";

impl<C: Suite> Participant<C> {
    fn dkg1(&mut self, r: &Request) -> Answer {
        let (secret, package) = dkg::part1(
            Identifier::try_from(r.party)?,
            r.parties,
            r.threshold,
            OsRng,
        )?;
        self.round1 = Some(secret);
        Ok(Reply {
            package: Some(Hex(package.serialize()?)),
            ..Default::default()
        })
    }

    fn dkg2(&mut self, r: &Request) -> Answer {
        self.received = decode(&r.packages, dkg::round1::Package::<C>::deserialize)?;
        let (secret, packages) = dkg::part2(
            self.round1.take().ok_or(Reply::refuse(EARLY))?,
            &self.received,
        )?;
        self.round2 = Some(secret);
        let mut shares = ByParty::new();
        for (id, package) in packages {
            shares.insert(number(&id), Hex(package.serialize()?));
        }
        Ok(Reply {
            shares,
            ..Default::default()
        })
    }

    fn dkg3(&mut self, r: &Request) -> Answer {
        let shares = decode(&r.shares, dkg::round2::Package::<C>::deserialize)?;
        let secret = self.round2.take().ok_or(Reply::refuse(EARLY))?;
        let (key, public) = dkg::part3(&secret, &self.received, &shares)?;
        self.key = Some(key);
        self.export(Some(public))
    }

    /// Takes over a key package, from a dealer or from another implementation.
    fn load(&mut self, r: &Request) -> Answer {
        self.key = Some(KeyPackage::deserialize(&r.key.0)?);
        Ok(Reply::default())
    }

    fn export(&self, public: Option<PublicKeyPackage<C>>) -> Answer {
        let key = self.key.as_ref().ok_or(Reply::refuse(EARLY))?;
        let public = public.map(|p| p.serialize()).transpose()?.map(Hex);
        Ok(Reply {
            public,
            keys: ByParty::from([(number(key.identifier()), Hex(key.serialize()?))]),
            ..Default::default()
        })
    }

    fn commit(&mut self) -> Answer {
        let key = self.key.as_ref().ok_or(Reply::refuse(EARLY))?;
        let (nonces, commitments): (_, SigningCommitments<C>) =
            frost_core::round1::commit(key.signing_share(), &mut OsRng);
        self.nonces = Some(nonces);
        Ok(Reply {
            package: Some(Hex(commitments.serialize()?)),
            ..Default::default()
        })
    }

    fn sign(&mut self, r: &Request) -> Answer {
        let nonces = self.nonces.take().ok_or(Reply::refuse(EARLY))?;
        let key = self.key.as_ref().ok_or(Reply::refuse(EARLY))?;
        let package = SigningPackage::deserialize(&r.package.0)?;
        let share = match root(&r.tweak) {
            None => frost_core::round2::sign(&package, &nonces, key)?,
            Some(root) => C::sign_tweaked(&package, &nonces, key, root)?,
        };
        Ok(Reply {
            share: Some(Hex(share.serialize())),
            ..Default::default()
        })
    }
}

fn public_key<C: Suite>(r: &Request) -> Result<PublicKeyPackage<C>, Reply> {
    let public = PublicKeyPackage::deserialize(&r.public.0)?;
    match root(&r.tweak) {
        None => Ok(public),
        Some(root) => C::tweak_public(public, root),
    }
}

fn deal<C: Suite>(r: &Request) -> Answer {
    let (shares, public) = frost_core::keys::generate_with_dealer::<C, _>(
        r.parties,
        r.threshold,
        IdentifierList::Default,
        &mut OsRng,
    )?;
    let mut keys = ByParty::new();
    for (id, share) in shares {
        keys.insert(number(&id), Hex(KeyPackage::try_from(share)?.serialize()?));
    }
    Ok(Reply {
        public: Some(Hex(public.serialize()?)),
        keys,
        ..Default::default()
    })
}

/// Builds a signing package here, for the tests that let this side coordinate.
fn package<C: Suite>(r: &Request) -> Answer {
    let commitments = decode(&r.packages, SigningCommitments::<C>::deserialize)?;
    let package = SigningPackage::new(commitments, &r.message.0);
    Ok(Reply {
        package: Some(Hex(package.serialize()?)),
        ..Default::default()
    })
}

fn aggregate<C: Suite>(r: &Request) -> Answer {
    let package = SigningPackage::deserialize(&r.package.0)?;
    let shares = decode(&r.shares, SignatureShare::<C>::deserialize)?;
    let detect = frost_core::CheaterDetection::AllCheaters;
    let signature = frost_core::aggregate_custom(&package, &shares, &public_key(r)?, detect)?;
    Ok(Reply {
        signature: Some(Hex(signature.serialize()?)),
        ..Default::default()
    })
}

fn verify<C: Suite>(r: &Request) -> Answer {
    let key: VerifyingKey<C> = *public_key(r)?.verifying_key();
    key.verify(&r.message.0, &Signature::deserialize(&r.signature.0)?)?;
    Ok(Reply::default())
}

struct Participants<C: Suite>(BTreeMap<u16, Participant<C>>);

impl<C: Suite> Participants<C> {
    fn answer(&mut self, r: &Request) -> Answer {
        match r.op.as_str() {
            "deal" => deal::<C>(r),
            "package" => package::<C>(r),
            "aggregate" => aggregate::<C>(r),
            "verify" => verify::<C>(r),
            _ => self.step(r),
        }
    }

    fn step(&mut self, r: &Request) -> Answer {
        let p = self.0.entry(r.party).or_default();
        match r.op.as_str() {
            "dkg1" => p.dkg1(r),
            "dkg2" => p.dkg2(r),
            "dkg3" => p.dkg3(r),
            "load" => p.load(r),
            "commit" => p.commit(),
            "sign" => p.sign(r),
            _ => Err(Reply::refuse("operation is not known")),
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut edwards = Participants::<Ed25519Sha512>(BTreeMap::new());
    let mut taproot = Participants::<Secp256K1Sha256TR>(BTreeMap::new());
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Request>(&line?) {
            Err(e) => Err(Reply::refuse(e)),
            Ok(r) if r.suite == Ed25519Sha512::ID => edwards.answer(&r),
            Ok(r) if r.suite == Secp256K1Sha256TR::ID => taproot.answer(&r),
            Ok(_) => Err(Reply::refuse("suite is not known")),
        };
        let reply = answer.unwrap_or_else(|refusal| refusal);
        serde_json::to_writer(&mut out, &reply)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
