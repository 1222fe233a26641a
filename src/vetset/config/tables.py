"""The tables of the settings file, with their defaults.

In it: frozen data, one class a table. Not in it: reading, and what a value may be (`reading`).
Rules: names are those of the command line's options; what is secret is named here, and held nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`: what decides the results of a run."""

    spread_limit: int = 1000  # a value borne by more rows than this does not spread
    remove_held: bool = False
    expand: bool = True
    allow_nothing_comparable: bool = False
    reach: str = "columns"  # columns; local: pictures that the dataset holds too; fetch: what its addresses lead to
    keep_digests: bool = False  # with local or fetch: digests of every picture are kept, sealed, for a later list


@dataclass(frozen=True, slots=True)
class AgreementSettings:
    """`[agreement]`: by what right `--reach fetch` fetches, and who answers for it. Without both nothing is fetched."""

    legal_basis: str = ""  # the agreement, order or provision, in your own words; stands in run.toml and the summary
    contact: str = ""  # an address at which you can be reached; sent with every request


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`[budget]`: how much `--reach fetch` may ask, and how that is spread. 0 is no limit."""

    urls: int = 0  # addresses
    bytes: int = 0  # received, summed over workers; what is on its way then still comes
    hours: float = 0.0  # of asking, summed over workers
    random_share: float = 0.1  # of what is asked: drawn from every stratum, so that the whole can be estimated
    seed: int = 1  # of that draw
    rounds: int = 3  # after each, what was found decides what is asked next
    host_groups: int = 8  # each is asked by one worker; more workers than this do not hurry a fetch
    success_floor: float = 0.2  # a run or host with a smaller share of pictures among its answers is warned of


@dataclass(frozen=True, slots=True)
class PictureSettings:
    """`[pictures]`: how pictures came to be stored as they are, where the dataset does not say. Only with `local`."""

    resize_mode: str = "auto"  # img2dataset's: border, keep_ratio, keep_ratio_largest, center_crop, fixed, no
    intact: bool = False  # stored as fetched (img2dataset's disable_all_reencoding): recorded digests must be theirs


@dataclass(frozen=True, slots=True)
class FingerprintSettings:
    """`[fingerprint]`: how pictures become fingerprints. Only with `--reach local`."""

    variant: str = "rgb"  # rgb: exact, as PDQ's reference; luma: quicker, up to 4 bits off, never cleaned by
    kinds: tuple[str, ...] = ()  # optional kinds as module:Class, from a library that you hold a licence for
    max_pixels: int = 64_000_000  # a larger picture is too_large; more needs more [sandbox] memory_bytes
    max_bytes: int = 256 * 1024 * 1024  # so is a larger file


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """`[match]`: when a fingerprint meets a list's. Only with `--reach local`."""

    radius_bits: int = 31  # PDQ within so many of its 256 bits is a near hit
    quality_floor: int = 50  # below it a picture is too plain to be compared by PDQ


@dataclass(frozen=True, slots=True)
class ListSettings:
    """`[lists.NAME]`: what holds for one list, by its own name."""

    radius_bits: int = 31  # in place of [match]


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """`[exchanges.NAME]`: a body's list, got by `vetset lists fetch NAME`. Paths count from where this file lies.

    A secret is named, never held: `credentials_file` or `credentials_variable` (of the environment).
    """

    kind: str = "ncmec"  # ncmec: hash sharing, version 2; csv, json, text: one document, the whole list; hma: a bank
    url: str = ""  # https; asked with --live only
    sandbox_url: str = ""  # a body's test service, or an emulator on this machine; asked without --live
    file: str = ""  # csv, json, text: a file in place of an address
    folder: str = "lists"  # where NAME-VERSION.vsl and what is known so far (sealed) are kept
    authorization: str = "basic"  # basic: user:password; bearer: a token; header: a value for `header`; none
    header: str = ""  # the header's name, with authorization = "header"
    credentials_file: str = ""
    credentials_variable: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # csv, json: what holds what, as in `lists compile --map`
    items: str = ""  # json: where the entries stand, as in "data.hashes"; empty: at the top
    signal: str = ""  # text: what bare values are
    signals: tuple[str, ...] = ()  # compiled from what comes; empty: every kind
    recipients: tuple[str, ...] = ()  # age1... that list and state are sealed to; empty: your own key
    source: str = ""  # who gives the list out
    purpose: str = ""  # what it may be used for
    valid_days: int = 0  # a version expires so many days after it was made; 0: never
    since: str = "2014-01-01"  # ncmec: the first day asked for, UTC
    window_days: int = 30  # ncmec: days asked for at once
    bank: str = ""  # hma: the bank's name
    gap_numbers: int = 1000  # hma: so many numbers without a content, and the bank has ended
    max_bytes: int = 4 * 1024 * 1024 * 1024  # csv, json, text: a larger document is refused
    most_withdrawn: float = 0.5  # csv, json, text: a document that lacks a larger share of what stood is refused


@dataclass(frozen=True, slots=True)
class AuthoritySettings:
    """`[authorities.NAME]`: whom the law names to be told, and who tells. Told with --live, at a `sandbox_url` if set.

    The credentials (user:password) are named, never held: a file that only you can read, or a variable.
    """

    kind: str = "cybertip"  # NCMEC's CyberTipline
    sandbox_url: str = ""  # its test service, or an emulator on this machine
    credentials_file: str = ""
    credentials_variable: str = ""
    email: str = ""  # of the person who reports; goes with every report, as all that follows
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    platform: str = ""  # the application's name, if any
    company_template: str = ""  # what your organisation says in every report
    terms_of_service: str = ""
    legal_url: str = ""
    certificates_file: str = ""  # PEM of authorities of certificates that are trusted; empty: this system's


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`[sandbox]`: the children in which pictures are decoded. Only with `--reach local`."""

    required: bool = False  # refuse to decode where the system cannot confine them (no seccomp)
    timeout_seconds: int = 30  # for one picture; then its child is killed
    memory_bytes: int = 1024 * 1024 * 1024  # beyond what a child needs before its first picture


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """`[fetch]`: how links are fetched, and how politely. Only with `--reach fetch`."""

    contact: str = ""  # an e-mail address or an https page where hosts can reach you; empty: that of [agreement]
    user_agent: str = "vetset"  # the name under which hosts know us, and for which robots.txt is read
    connections: int = 64  # at once, to all hosts together
    connections_per_host: int = 2
    milliseconds_between_requests: int = 500  # between the starts of two requests to one host; 0: no limit
    robots: bool = True  # robots.txt is asked for and obeyed
    opt_outs: bool = True  # X-Robots-Tag (noai, noindex and others) and TDM-Reservation are obeyed
    retries: int = 2  # further attempts where the trouble may pass: 429, 503, a connection that broke
    timeout_seconds: int = 30  # for one attempt with all its redirects, waiting for its turn not counted
    max_bytes: int = 32 * 1024 * 1024  # a larger body is too_large
    max_header_bytes: int = 64 * 1024
    min_bytes_per_second: int = 500  # over five seconds; less is too_slow; 0: no limit
    max_redirects: int = 5
    ports: tuple[int, ...] = (80, 443)  # others are blocked_address
    certificates_file: str = ""  # PEM of authorities that are trusted; empty: this system's


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """`[verify]`: when a body's word makes a case confirmed."""

    parties: int = 1  # independent parties that must say so; two platforms of one party are one


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """`[report]`: what follows from a finished report."""

    preserve_days: int = 365  # what was reported is to be kept so long (in the US 18 U.S.C. 2258A(h), since May 2024)


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """`[platforms.NAME]`: a body that judges fingerprints, asked by verify. Its guide says what its terms are.

    A secret is named, never held: `credentials_file` or `credentials_variable` (of the environment). Paths count from
    where this file lies.
    """

    kind: str = ""  # shield, photodna, hma
    sandbox_url: str = ""  # a body's test service, or an emulator on this machine, in place of the body itself
    url: str = ""  # hma: where it is, https; the others have one address
    credentials_file: str = ""  # one line: shield, hma: user:password; photodna: the key
    credentials_variable: str = ""
    certificates_file: str = ""  # PEM of authorities that are trusted; empty: this system's
    kinds: tuple[str, ...] = ()  # photodna: the names of your kinds of fingerprint that are its edge hashes
    party: str = ""  # hma: whose banks they are
    banks: Mapping[str, str] = field(default_factory=dict)  # hma: NAME = "csam", "harmful", "test"; no others are heard
    canary: str = ""  # hma: a PDQ in hex that each of these banks holds; photodna: its hash for tests in base64
    batch: int = 0  # fingerprints in a request; 0: 50 for shield, 5 for photodna, 32 for hma
    requests_per_second: float = 0.0  # 0: 1 for shield, 5 for photodna, no limit for hma
    requests_per_month: int = 0  # counted in your settings folder, by name; 0: no limit
    timeout_seconds: int = 60  # from a request to the end of its answer
    attempts: int = 5  # at one request, where asking again can help


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`[run]`: how a run is carried; nothing here changes a result."""

    workers: int = 0  # 0: as many as the machine has cores
    runner: str = "local"
    batch_rows: int = 32768
    max_record_bytes: int = 64 * 1024 * 1024  # one line of CSV or JSON
    max_row_group_bytes: int = 4 * 1024 * 1024 * 1024
    max_footer_bytes: int = 256 * 1024 * 1024
    part_seconds: int = 5  # what was fetched is committed so often; 0: at once


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[policy.rules]]`: a row meets it when it meets every condition that is set."""

    punsafe_above: float | None = None
    nsfw: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    words_file: str = ""
    words: tuple[str, ...] = field(default=(), repr=False)  # read from words_file, never written anywhere

    def conditions(self) -> bool:
        return self.punsafe_above is not None or bool(self.nsfw or self.hosts or self.words_file)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """`[policy]`: a row that meets any rule is `policy`. `name` picks one of the named policies instead of rules."""

    name: str = ""
    words_file: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole tree. `columns` maps our column names to a dataset's, where its own spelling is not enough."""

    audit: AuditSettings = field(default_factory=AuditSettings)
    run: RunSettings = field(default_factory=RunSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    columns: Mapping[str, str] = field(default_factory=dict)
    pictures: PictureSettings = field(default_factory=PictureSettings)
    fingerprint: FingerprintSettings = field(default_factory=FingerprintSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    lists: Mapping[str, ListSettings] = field(default_factory=dict)
    exchanges: Mapping[str, ExchangeSettings] = field(default_factory=dict)
    authorities: Mapping[str, AuthoritySettings] = field(default_factory=dict)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    agreement: AgreementSettings = field(default_factory=AgreementSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    platforms: Mapping[str, PlatformSettings] = field(default_factory=dict)
