"""The public paths: what curl users and old clients see."""

import json

import httpx
import pytest


def put(client: httpx.Client, path: str, value: object, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.put(path, json={"value": value}, headers=names)


def test_a_value_comes_back_under_the_path_it_was_put_to(client: httpx.Client) -> None:
    created = put(client, "/memory/alice/plan", {"step": 1})
    assert created.status_code == 201
    assert put(client, "/memory/alice/plan", {"step": 2}).status_code == 200
    found = client.get("/memory/alice/plan")
    assert found.json() == {
        "namespace": "alice",
        "key": "plan",
        "value": {"step": 2},
        "version": created.json()["version"] + 1,
    }
    assert found.headers["etag"] == f'"{found.json()["version"]}"'


def test_the_text_of_a_value_is_never_written_anew(client: httpx.Client) -> None:
    text = b'{"value": {"b": 1.50, "a": [ 1e2, -0, 12345678901234567890 ]}}'
    client.put("/memory/exact/v", content=text, headers={"content-type": "application/json"})
    assert (
        b'{"b": 1.50, "a": [ 1e2, -0, 12345678901234567890 ]}'
        in client.get("/memory/exact/v").content
    )


def test_keys_with_slashes_and_escapes_are_keys_like_others(client: httpx.Client) -> None:
    for path, key in {
        "a/b/c": "a/b/c",
        "a%2Fb": "a/b",
        "caf%C3%A9": "café",
        "a%0Ab": "a\nb",
    }.items():
        put(client, f"/memory/keys/{path}", key)
        assert client.get(f"/memory/keys/{path}").json()["key"] == key
    assert [entry["key"] for entry in client.get("/memory/keys").json()["keys"]] == sorted(
        ["a/b/c", "a/b", "café", "a\nb"]
    )


def test_namespaces_are_percent_encoded_and_apart(client: httpx.Client) -> None:
    put(client, "/memory/team%2Fa/k", 1)
    put(client, "/memory/team/k", 2)
    assert client.get("/memory/team%2Fa/k").json()["namespace"] == "team/a"
    assert client.get("/memory/team/k").json()["value"] == 2


def test_a_missing_key_is_a_problem_that_says_what_to_do(client: httpx.Client) -> None:
    missing = client.get("/memory/alice/nothing")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    problem = missing.json()
    assert problem["status"] == 404
    assert problem["code"] == "BW-404-key"
    assert isinstance(problem["detail"], str)
    assert problem["retryable"] is False


def test_deleting_works_once(client: httpx.Client) -> None:
    put(client, "/memory/gone/k", 1)
    assert client.delete("/memory/gone/k").json()["deleted"] is True
    assert client.delete("/memory/gone/k").status_code == 404


def test_a_ttl_is_taken_from_the_body(client: httpx.Client) -> None:
    client.put("/memory/ttl/k", json={"value": 1, "ttl": 1000, "sliding": True})
    head = client.post("/v1/head", json={"namespace": "ttl", "key": "k"}).json()
    assert head["ttl"] == 1000
    assert head["sliding"] is True


def test_head_answers_like_get_without_a_body(client: httpx.Client) -> None:
    put(client, "/memory/head/k", "x" * 100)
    response = client.head("/memory/head/k")
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) == len(client.get("/memory/head/k").content)


@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"0", "{}"', "*"])
def test_an_unchanged_entry_is_not_sent_again(client: httpx.Client, tag: str) -> None:
    version = put(client, "/memory/cached/k", 1).json()["version"]
    answer = client.get("/memory/cached/k", headers={"if-none-match": tag.format(version)})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == f'"{version}"'
    assert answer.headers["cache-control"] == "private, no-cache"
    assert client.get("/memory/cached/k", headers={"if-none-match": '"0"'}).status_code == 200


def test_if_match_writes_only_at_that_version(client: httpx.Client) -> None:
    version = put(client, "/memory/cas/k", "mine").json()["version"]
    assert put(client, "/memory/cas/k", "theirs", if_match=f'"{version}"').status_code == 200
    lost = put(client, "/memory/cas/k", "mine again", if_match=f'"{version}"')
    assert lost.status_code == 412
    assert lost.json()["current_version"] == version + 1
    assert lost.json()["current_value"] == "theirs"
    assert put(client, "/memory/cas/k", 1, if_match=f'W/"{version + 1}"').status_code == 412
    assert put(client, "/memory/cas/k", 1, if_match=f'"7", "{version + 1}"').status_code == 200
    assert put(client, "/memory/cas/none", 1, if_match="*").status_code == 412


def test_if_none_match_star_only_creates(client: httpx.Client) -> None:
    assert put(client, "/memory/create/k", 1, if_none_match="*").status_code == 201
    assert put(client, "/memory/create/k", 2, if_none_match="*").status_code == 412
    assert client.get("/memory/create/k").json()["value"] == 1


def test_deleting_takes_conditions_too(client: httpx.Client) -> None:
    version = put(client, "/memory/cas/d", 1).json()["version"]
    stale = client.delete("/memory/cas/d", headers={"if-match": f'"{version + 5}"'})
    assert stale.status_code == 412
    assert client.delete("/memory/cas/d", headers={"if-match": f'"{version}"'}).status_code == 200


def test_patch_changes_members_and_leaves_the_rest_as_it_was_written(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    client.put("/memory/patch/k", content=b'{"value": {"a": 1.50, "b": 2}}', headers=headers)
    merge = {"content-type": "application/merge-patch+json"}
    assert client.patch("/memory/patch/k", content=b'{"b": null, "c": 3}', headers=merge).is_success
    assert b'{"a":1.50,"c":3}' in client.get("/memory/patch/k").content
    assert client.patch("/memory/patch/k", json={"c": 1}).status_code == 415


def test_a_listing_is_complete_and_in_order(client: httpx.Client) -> None:
    keys = [f"k{number:04}" for number in range(1500)]
    client.post("/v1/set_many", json={"namespace": "many", "values": dict.fromkeys(keys, 1)})
    listing = client.get("/memory/many").json()
    assert listing["namespace"] == "many"
    assert listing["count"] == 1500
    assert [entry["key"] for entry in listing["keys"]] == keys
    assert listing["keys"][0]["bytes"] == 1
    assert listing["keys"][0]["updated_at"].startswith("20")


def test_a_listing_is_paged_on_demand(client: httpx.Client) -> None:
    for key in ("a:1", "a:2", "a:3", "b:1"):
        put(client, f"/memory/paged/{key}", 1)
    page = client.get("/memory/paged", params={"prefix": "a:", "limit": 2})
    assert [entry["key"] for entry in page.json()["keys"]] == ["a:1", "a:2"]
    link = page.headers["link"]
    assert link.endswith('; rel="next"')
    rest = client.get(link[1 : link.index(">")]).json()
    assert [entry["key"] for entry in rest["keys"]] == ["a:3"]
    assert rest["next_cursor"] is None


def test_unknown_fields_and_parameters_are_named_instead_of_ignored(client: httpx.Client) -> None:
    wrong = client.put("/memory/strict/k", json={"value": 1, "tll": 60})
    assert wrong.status_code == 422
    assert "tll" in wrong.json()["detail"]
    assert "limmit" in client.get("/memory/strict", params={"limmit": 2}).json()["detail"]
    assert client.put("/memory/strict/k", json={"ttl": 60}).status_code == 422


def test_methods_that_do_not_exist_are_refused(client: httpx.Client) -> None:
    assert client.post("/memory/a/k", json={}).status_code == 405
    assert client.post("/memory/a", json={}).status_code == 405
    assert client.get("/v1/get").status_code == 405
    assert client.post("/v1/nothing", json={"namespace": "a"}).status_code == 404


def test_no_cache_keeps_what_agents_remember(client: httpx.Client) -> None:
    put(client, "/memory/private/k", 1)
    for response in (client.get("/memory/private/k"), client.get("/memory/private")):
        assert response.headers["cache-control"] == "private, no-cache"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_a_number_too_large_for_a_double_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for text in (b'{"value": 1e999}', b'{"value": NaN}', b'{"value": [Infinity]}'):
        assert client.put("/memory/bad/k", content=text, headers=headers).status_code == 422
    assert client.get("/memory/bad/k").status_code == 404


def test_a_batch_over_http_is_all_or_nothing(client: httpx.Client) -> None:
    operations = [
        {"op": "set", "key": "a", "value": 1},
        {"op": "increment", "key": "n", "by": 2},
        {"op": "delete", "key": "missing", "if_version": 7},
    ]
    failed = client.post("/v1/batch", json={"namespace": "batch", "operations": operations})
    assert failed.status_code == 412
    assert client.get("/memory/batch").json()["count"] == 0
    done = client.post("/v1/batch", json={"namespace": "batch", "operations": operations[:2]})
    assert [json.dumps(result["version"]) for result in done.json()["results"]] == ["1", "2"]


def test_one_huge_number_cannot_keep_the_server_busy(client: httpx.Client) -> None:
    digits = "9" * 2_000_000  # reading it as a number takes minutes; storing it takes none
    headers = {"content-type": "application/json"}
    put_it = client.put("/memory/huge/n", content=f'{{"value": {digits}}}', headers=headers)
    assert put_it.status_code == 201
    for name, body in {
        "increment": '"key": "n"',
        "touch": f'"key": "n", "ttl": {digits}',
        "tail": '"key": "n", "count": 1',
        "set": f'"key": "n", "value": 1, "if_version": {digits}',
    }.items():
        body = f'{{"namespace": "huge", {body}}}'
        refused = client.post(f"/v1/{name}", content=body, headers=headers)
        assert refused.status_code in (409, 422), name
    patched = f'{{"namespace": "huge", "key": "o", "patch": {{"n": {digits}}}}}'
    for _ in range(2):
        assert client.post("/v1/merge", content=patched, headers=headers).status_code == 200
    assert len(client.get("/memory/huge/n").content) > 2_000_000
