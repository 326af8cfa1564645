"""A real broker that lets nobody in unseen: logins over TLS, client certificates, and ACLs for everybody but us.

The listener LOGIN takes PLAIN and SCRAM over TLS, MUTUAL takes client certificates; the plain one is the operator's.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from certificates import Authority
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclPermissionType,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from service_process import WAIT_S, await_until

from consumers.permissions import Permission
from producers.broker import FAST_RECOVERY, BrokerOptions, LocalBroker

LISTENERS = {"LOGIN": "SASL_SSL", "MUTUAL": "SSL"}
PLAIN_USER, PLAIN_PASSWORD = "ann", "ann-5f2c"
ITERATIONS = 4096
_MODULES = "org.apache.kafka.common.security"


class GuardedBroker:
    """The broker, its authority, and what its operator does; a context manager.

    Attributes:
        authority: signed the broker's certificate, and is trusted for those of clients.
        servers: where the operator connects, who may do everything.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        properties = {**FAST_RECOVERY, **_properties(self.authority)}
        self._broker = LocalBroker(BrokerOptions(listeners=LISTENERS, properties=properties))

    def __enter__(self) -> Self:
        self._broker.start()
        self.servers = self._broker.bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": self.servers})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.stop()

    def by_password(self, mechanism: str, user: str, password: str) -> dict[str, str]:
        """Settings of a worker that logs in over TLS."""
        return {
            "kafka__bootstrap_servers": self._broker.address("LOGIN"),
            "kafka__security_protocol": "SASL_SSL",
            "kafka__sasl_mechanism": mechanism,
            "kafka__sasl_username": user,
            "kafka__sasl_password": password,
            "kafka__ssl_ca_location": str(self.authority.file),
        }

    def by_certificate(self, name: str, password: str) -> dict[str, str]:
        """Settings of a worker with a certificate of its own, whose key opens with the password."""
        certificate, key = self.authority.client(name, password)
        return self.without_certificate() | {
            "kafka__ssl_certificate_location": str(certificate),
            "kafka__ssl_key_location": str(key),
            "kafka__ssl_key_password": password,
        }

    def without_certificate(self) -> dict[str, str]:
        """Settings of a worker that should have a certificate and has none."""
        return {
            "kafka__bootstrap_servers": self._broker.address("MUTUAL"),
            "kafka__security_protocol": "SSL",
            "kafka__ssl_ca_location": str(self.authority.file),
        }

    def add_user(self, user: str, password: str) -> None:
        """A user who may log in with SCRAM."""
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        added = self._admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, how, password.encode())], request_timeout=WAIT_S
        )
        for future in added.values():
            future.result()

    def allow(self, user: str, permissions: Iterable[Permission]) -> None:
        """Add ACLs; returns when the broker applies them."""
        rules = [_rule(user, permission) for permission in permissions]
        for future in self._admin.create_acls(rules, request_timeout=WAIT_S).values():
            future.result()
        # The broker applies what it was told a moment after it said so.
        await_until(lambda: all(map(self._applies, rules)), "the ACLs")

    def forbid(self, user: str, permission: Permission) -> None:
        """Remove an ACL; returns when the broker no longer applies it."""
        rule = _rule(user, permission)
        for future in self._admin.delete_acls([_filter(rule)], request_timeout=WAIT_S).values():
            assert future.result() == [rule]
        await_until(lambda: not self._applies(rule), "the ACL to go")

    def _applies(self, rule: AclBinding) -> bool:
        found: list[AclBinding] = self._admin.describe_acls(_filter(rule), request_timeout=WAIT_S).result()
        return found == [rule]


def _properties(authority: Authority) -> dict[str, str]:
    login, mutual = "listener.name.login", "listener.name.mutual"
    server = str(authority.server())
    identity = {
        f"{listener}.ssl.keystore.{key}": value
        for listener in (login, mutual)
        for key, value in {"type": "PEM", "location": server}.items()
    }
    return identity | {
        f"{login}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{login}.plain.sasl.jaas.config": (
            f'{_MODULES}.plain.PlainLoginModule required user_{PLAIN_USER}="{PLAIN_PASSWORD}";'
        ),
        f"{login}.scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
        f"{mutual}.ssl.client.auth": "required",
        f"{mutual}.ssl.truststore.type": "PEM",
        f"{mutual}.ssl.truststore.location": str(authority.file),
        f"{mutual}.ssl.principal.mapping.rules": "RULE:^CN=([^,]+),.*$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _rule(user: str, permission: Permission) -> AclBinding:
    return AclBinding(
        permission.kind,
        permission.name,
        permission.pattern,
        f"User:{user}",
        "*",
        permission.operation,
        AclPermissionType.ALLOW,
    )


def _filter(rule: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        rule.restype,
        rule.name,
        rule.resource_pattern_type,
        rule.principal,
        rule.host,
        rule.operation,
        rule.permission_type,
    )
