"""The library over HTTP: settings, guards, answers, routes; leaves pages to tamiyo/web, SQL to the hall."""
