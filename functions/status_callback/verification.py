"""Verifies that Twilio signed a status callback, and finds the likely cause if it did not."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from delivery.runtime.http_event import (
    HttpEvent,
    header_of,
    optional_header_of,
    path_of,
    query_of,
)
from delivery.twilio.callback import account_of
from delivery.twilio.credentials import TwilioSecret, TwilioSecrets
from delivery.twilio.signature import (
    Algorithm,
    Parameters,
    SignatureFault,
    SignatureInvalid,
    SignatureSettings,
    SignedForm,
)

from .limit import OncePerMinute

PATH: Final = "/twilio/status"

# A status callback of Twilio's is far shorter. Forged bodies are not worth the search for a cause.
_MAX_DIAGNOSED_BYTES: Final = 8 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
_REFRESH: Final = "refresh of the secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackVerifier:
    """Verifies callbacks with the keys in the secret.

    `public_base_url` has no trailing slash, and is empty if there is none. `refresh_limit` limits
    how often an unknown shared key refreshes the secret.
    """

    secrets: TwilioSecrets
    public_base_url: str
    log_limit: OncePerMinute
    refresh_limit: OncePerMinute

    def verify(self, event: HttpEvent, signature: str, parameters: Parameters) -> None:
        """Return if Twilio signed the request for one of this endpoint's URLs.

        Raises:
            SignatureInvalid: it did not.
            SecretUnavailable, SecretInvalid: there is no secret to verify with.
        """
        header = optional_header_of(event, "x-twilio-webhooks-signature-settings")
        settings = None if header is None else SignatureSettings.parse(header)
        keys = self._keys(account_of(parameters), settings)
        algorithm = settings.algorithm if settings else Algorithm.HMAC_SHA1
        form = SignedForm.of(signature, parameters, algorithm)
        try:
            form.verify(keys=keys, urls=self._urls(event))
        except SignatureInvalid:
            # The cause is worked out only if a line may be logged: anyone can cause the work.
            causes = (SignatureFault.URL_DIFFERS, SignatureFault.TOKEN_OR_URL)
            may_log = any(self.log_limit.allows(cause) for cause in causes)
            if may_log and self._url_differs(form, keys, event):
                raise SignatureInvalid(SignatureFault.URL_DIFFERS) from None
            raise

    def _keys(self, account_sid: str | None, settings: SignatureSettings | None) -> Sequence[str]:
        """Return the keys that may have signed: auth tokens, or the shared key of the settings."""
        secret = self.secrets.current()
        if not secret.has_account(account_sid):
            raise SignatureInvalid(SignatureFault.UNKNOWN_ACCOUNT)
        if settings is None:
            return secret.signing_tokens(account_sid)
        key = self._shared_key(secret, account_sid, settings.key_id)
        if key is None:
            raise SignatureInvalid(SignatureFault.UNKNOWN_KEY, key_id=settings.key_id)
        return [key]

    def _shared_key(self, secret: TwilioSecret, account_sid: str | None, key_id: str) -> str | None:
        """Return the account's shared key of this id; a new one may be in the secret by now."""
        key = secret.shared_key(account_sid, key_id)
        if key is None and self.refresh_limit.take(_REFRESH):
            key = self.secrets.refresh().shared_key(account_sid, key_id)
        return key

    def _urls(self, event: HttpEvent) -> Sequence[str]:
        """Return every URL of this endpoint that Twilio may have been given."""
        query = f"?{query_of(event)}" if query_of(event) else ""
        own = f"https://{_domain_of(event)}{path_of(event) or PATH}" if _domain_of(event) else ""
        public = f"{self.public_base_url}{PATH}" if self.public_base_url else ""
        return [url + query for url in (public, own) if url]

    def _url_differs(self, form: SignedForm, keys: Sequence[str], event: HttpEvent) -> bool:
        """Return whether the signature proves that Twilio signed a variant of the URL."""
        if len(form.joined) > _MAX_DIAGNOSED_BYTES:
            return False
        return form.fits(keys=keys, urls=set(_url_variants(event, self._urls(event))))


def _url_variants(event: HttpEvent, expected: Sequence[str]) -> Iterator[str]:
    """Yield the URLs that Twilio may have called for this request to arrive.

    They differ in the usual ways: scheme, host, path, trailing slash and query.
    """
    query = query_of(event)
    bases = {url.partition("://")[2].partition("?")[0] for url in expected}
    hosts = {
        host
        for name in ("host", "x-forwarded-host")
        if _HOST.fullmatch(host := header_of(event, name).strip())
    }
    paths = {path_of(event) or PATH, PATH}
    bases |= {f"{host}{path}" for host, path in product(hosts, paths)}
    for scheme, base in product(("https", "http"), bases):
        trimmed = f"{scheme}://{base.rstrip('/')}"
        for address in (trimmed, f"{trimmed}/"):
            yield address
            if query:
                yield f"{address}?{query}"


def _domain_of(event: HttpEvent) -> str:
    return (event.get("requestContext") or {}).get("domainName") or ""
