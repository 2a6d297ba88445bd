"""Read what a response refuses."""

from httpx2 import Response


def validation_errors(response: Response) -> dict[str, str]:
    """Return the details of a 422 by pointer or parameter."""
    assert response.status_code == 422, response.text
    return {issue.get("pointer", issue.get("parameter")): issue["detail"] for issue in response.json()["errors"]}
