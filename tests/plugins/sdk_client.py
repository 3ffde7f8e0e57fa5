"""Ten turns of the plain openai SDK, in whatever release runs this; needs nothing else.

python tests/plugins/sdk_client.py URL KEY whole|streamed     # prints its version and what it met
"""

import asyncio
import json
import sys

import openai

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "write",
            "strict": True,  # else the SDK's own helper for streams refuses it
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
                "required": ["path", "content"],
                "additionalProperties": False,
            },
        },
    }
]


async def converse(url, key, streamed):
    """Until the model calls no tool; the texts and calls that came."""
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        messages = [
            {"role": "system", "content": "You are main."},
            {"role": "user", "content": "Begin 日本."},
        ]
        turns = 0
        while True:
            asked = {"model": "m", "messages": messages, "tools": TOOLS, "logprobs": True}
            if streamed:
                async with client.chat.completions.stream(**asked) as stream:
                    choice = (await stream.get_final_completion()).choices[0]
            else:
                choice = (await client.chat.completions.create(**asked)).choices[0]
            turns += 1
            messages.append(choice.message.model_dump(exclude_none=True, exclude={"parsed"}))
            calls = choice.message.tool_calls or []
            for call in calls:
                json.loads(call.function.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "wrote it"})
            if not calls:
                return turns, choice.finish_reason, choice.message.content


def refusals(url, key):
    """What the SDK makes of refusals, in its own classes."""
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    other = openai.OpenAI(base_url=url, api_key="arl-unknown", max_retries=0)
    user = [{"role": "user", "content": "x"}]
    tries = {
        "key": lambda: other.chat.completions.create(model="m", messages=user),
        "n": lambda: client.chat.completions.create(model="m", messages=user, n=2),
        "empty": lambda: client.chat.completions.create(model="m", messages=[]),
        "route": lambda: client.embeddings.create(model="m", input="x"),
    }
    met = {"models": [model.id for model in client.models.list()]}
    for name, call in tries.items():
        try:
            call()
        except openai.APIStatusError as error:
            met[name] = type(error).__name__
    return met


if __name__ == "__main__":
    url, key, kind = sys.argv[1:]
    turns, reason, content = asyncio.run(converse(url, key, kind == "streamed"))
    said = {"version": openai.__version__, "turns": turns, "finish_reason": reason, "content": content}
    print(json.dumps(said | refusals(url, key)))
